/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfat: mkfs.fat and mtools (fs/vfat_make.c) put the tree into a temporary file, and the device
 * refers to it: to the boot sectors, FATs and clusters in use; free clusters are unused.
 *
 *   | boot sectors | FAT | FAT | root (FAT16) | clusters …
 *
 * The form goes by size, as mkfs.fat's defaults do: FAT32 from 33 MiB on, with clusters of 512
 * bytes below 260 MiB, 4 KiB up to 8 GiB, and more beyond; FAT16 below. What a FAT holds is in
 * Microsoft's "FAT: General Overview of On-Disk Format", version 1.03.
 */
#include "fs/fs_types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/program.h"
#include "fs/staged.h"
#include "fs/vfat_internal.h"

enum {
	ROOM_MIN = 16 << 20,    /* bytes free at `size: auto`, or 10 % */
	AUTO_MIN = 64 << 20,    /* bytes: a FAT32 that all firmware takes as one */
	ROOT_ENTRIES = 512,     /* of FAT16's root directory, at least */
	FAT32_RESERVED = 32,
};

/* Sizes from which a form is used, in sectors. */
static const struct form {
	uint64_t from;
	uint32_t bits, per_cluster;
} forms[] = {
	{0, 16, 1},
	{32 * MIB / VFAT_SECTOR + 1, 16, 2},
	{33 * MIB / VFAT_SECTOR, 32, 1},
	{260 * MIB / VFAT_SECTOR, 32, 8},
	{8 * GIB / VFAT_SECTOR, 32, 16},
	{16 * GIB / VFAT_SECTOR, 32, 32},
	{32 * GIB / VFAT_SECTOR, 32, 64},
};

/* Length of a FAT for what is left of the sectors; the FATs are in it themselves. */
static void divide(struct vfat_shape *s)
{
	const uint64_t entry = s->bits / 8;
	const uint64_t head = s->reserved + s->root_entries * VFAT_ENTRY / VFAT_SECTOR;
	uint64_t left = s->sectors > head ? s->sectors - head : 0;
	uint64_t most = (left * VFAT_SECTOR + VFAT_FATS * 2 * entry) /
			(s->per_cluster * VFAT_SECTOR + VFAT_FATS * entry);

	s->fat_sectors = (uint32_t)num_div_up((most + 2) * entry, VFAT_SECTOR);
	left -= MIN(left, (uint64_t)VFAT_FATS * s->fat_sectors);
	s->clusters = left / s->per_cluster;
}

static struct vfat_shape shape_of(const struct form *f, uint64_t sectors, uint32_t root_entries)
{
	struct vfat_shape s = {.sectors = MIN(sectors, (uint64_t)UINT32_MAX),
		.bits = f->bits,
		.per_cluster = f->per_cluster,
		.reserved = f->bits == 32 ? FAT32_RESERVED : f->per_cluster};

	if (f->bits == 16)
		s.root_entries = (uint32_t)num_align(MAX(root_entries, (uint32_t)ROOT_ENTRIES),
			VFAT_SECTOR / VFAT_ENTRY * f->per_cluster);
	divide(&s);
	/* Clusters of a page and more begin at one. */
	if (f->per_cluster >= 8) {
		s.reserved += (uint32_t)(-(s.reserved + VFAT_FATS * s.fat_sectors)) % 8;
		divide(&s);
	}
	return s;
}

static const struct form *form_of(uint64_t sectors)
{
	size_t i = ARRAY_SIZE(forms) - 1;

	while (forms[i].from > sectors)
		i--;
	return &forms[i];
}

/* Whether the tree fits into len bytes, and in which shape. */
static bool fits(const struct fs *fs, uint64_t len, struct vfat_shape *shape, struct vfat_need *need)
{
	const struct form *f = form_of(len / VFAT_SECTOR);

	vfat_measure(fs, f->per_cluster * VFAT_SECTOR, need);
	*shape = shape_of(f, len / VFAT_SECTOR, need->root_entries);
	return need->clusters <= shape->clusters;
}

/* The least number of sectors of this form that holds the tree; may lie beyond the form's sizes. */
static uint64_t least_of(const struct fs *fs, const struct form *f)
{
	struct vfat_need need;
	struct vfat_shape s;
	uint64_t sectors;

	vfat_measure(fs, f->per_cluster * VFAT_SECTOR, &need);
	sectors = MAX(need.clusters * f->per_cluster, f->from);
	for (;;) {
		s = shape_of(f, sectors, need.root_entries);
		if (s.clusters >= need.clusters || sectors > UINT32_MAX)
			return sectors;
		sectors += (need.clusters - s.clusters) * f->per_cluster;
	}
}

/* ERROR_INPUT when no vfat is large enough. */
static int least_size(const struct fs *fs, uint64_t *least, struct error *err)
{
	char text[NUM_SIZE_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		uint64_t sectors = least_of(fs, &forms[i]);
		uint64_t end = i + 1 < ARRAY_SIZE(forms) ? forms[i + 1].from
							 : (uint64_t)UINT32_MAX + 1;

		*least = MAX(sectors * VFAT_SECTOR, fs->ops->least);
		if (sectors < end)
			return 0;
	}
	return error_set(err, ERROR_INPUT, 0, "the files need a vfat of %s, and 2 TiB is the most",
		num_format_size(text, *least));
}

static int vfat_sizes(struct fs *fs, uint64_t *least, uint64_t *roomy, struct error *err)
{
	struct vfat_shape shape;
	struct vfat_need need;

	if (vfat_check(fs, err) < 0 || least_size(fs, least, err) < 0)
		return -1;
	*roomy = num_align(MAX(*least + MAX(*least / 10, (uint64_t)ROOM_MIN), (uint64_t)AUTO_MIN),
		MIB);
	/* Larger clusters begin at some sizes: there it takes more. */
	while (!fits(fs, *roomy, &shape, &need))
		*roomy += *roomy / 10 / MIB * MIB + MIB;
	*least = num_align(*least, 4 * KIB);
	return 0;
}

static int vfat_plan(struct fs *fs, struct fs_sums *out, struct error *err)
{
	char text[NUM_SIZE_TEXT], has[NUM_SIZE_TEXT];
	struct vfat_shape shape;
	struct vfat_need need;
	uint64_t least, cluster;

	if (vfat_check(fs, err) < 0)
		return -1;
	if (!fits(fs, fs->len, &shape, &need)) {
		if (least_size(fs, &least, err) < 0)
			return -1;
		return error_set(err, ERROR_INPUT, 0, "vfat needs %s for its files and has %s",
			num_format_size(text, MAX(least, need.clusters * shape.per_cluster *
							   (uint64_t)VFAT_SECTOR)),
			num_format_size(has, fs->len));
	}
	cluster = (uint64_t)shape.per_cluster * VFAT_SECTOR;
	out->size = shape.sectors * VFAT_SECTOR;
	out->free = (shape.clusters - need.clusters) * cluster;
	out->used = out->size - out->free;
	return 0;
}

/* Clusters in use become references, the others and what no cluster covers unused. */
static int refer_clusters(const struct vfat_image *im, struct staged *staged, struct dev *dev,
	struct error *err)
{
	const uint64_t size = vfat_image_cluster_bytes(im), base = vfat_image_data_off(im);
	const uint32_t nr = vfat_image_clusters(im);
	uint64_t end = base + nr * size;

	for (uint32_t i = 0; i < nr;) {
		bool used = vfat_image_in_use(im, i);
		uint32_t first = i;
		int r;

		while (i < nr && vfat_image_in_use(im, i) == used)
			i++;
		r = used ? staged_refer(staged, dev, base + first * size, (i - first) * size, err)
			 : dev_clear(dev, base + first * size, (i - first) * size, EXTENT_UNUSED,
				   err);
		if (r < 0)
			return -1;
	}
	return end < dev->size ? dev_clear(dev, end, dev->size - end, EXTENT_UNUSED, err) : 0;
}

static int vfat_write(struct fs *fs, struct dev *dev, struct error *err)
{
	CLEANUP(vfat_image_cleanup) struct vfat_image *im = NULL;
	CLEANUP_CLOSE int fd = -1;
	struct vfat_shape shape;
	struct vfat_need need;

	if (!fits(fs, fs->len, &shape, &need))
		return error_set(err, ERROR_BUG, 0, "a vfat is written that was not planned");
	fd = vfat_make(fs, &shape, err);
	if (fd < 0)
		return -1;
	im = vfat_image_open(fd, &shape, err);
	if (!im || vfat_image_finish(im, fs, err) < 0)
		return -1;
	staged_free(fs->state);
	fs->state = staged_new(steal_fd(&fd), "a vfat image", err);
	if (!fs->state ||
		staged_refer_sparse(fs->state, dev, 0, vfat_image_data_off(im), err) < 0)
		return -1;
	return refer_clusters(im, fs->state, dev, err);
}

static void vfat_release(struct fs *fs)
{
	staged_free(fs->state);
	fs->state = NULL;
}

static int vfat_available(struct error *err)
{
	if (program_need("mkfs.fat", "dosfstools", err) < 0 ||
		program_need("mmd", "mtools", err) < 0)
		return -1;
	return program_need("mcopy", "mtools", err);
}

uint32_t vfat_volume_id(const struct fs *fs)
{
	const uint8_t *u = fs->opts.uuid;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* A character of a label as FAT has it, in upper case; 0 for one that it lacks. */
static char label_char(unsigned char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)(c - 'a' + 'A');
	return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(" $%'-_@~`!(){}^#&", c)) ?
		(char)c : 0;
}

static int vfat_check_label(const char *label, struct error *err)
{
	for (const char *c = label; *c; c++)
		if (!label_char((unsigned char)*c))
			return error_set(err, ERROR_INPUT, 0,
				"vfat cannot hold label '%s': it may have letters of ASCII (which become "
				"capitals), digits, blanks and $%%'-_@~`!(){}^#&", label);
	return 0;
}

void vfat_label(const struct fs *fs, char out[VFAT_LABEL + 1])
{
	const char *text = fs->opts.label ? fs->opts.label : "";
	size_t len = 0;

	for (; *text && len < VFAT_LABEL; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c & 0xc0) == 0x80)
			continue;
		out[len++] = label_char(c) ? label_char(c) : '_';
	}
	while (len > 0 && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
}

static void vfat_id_text(const struct fs *fs, char out[FS_ID_TEXT])
{
	uint32_t id = vfat_volume_id(fs);

	snprintf(out, FS_ID_TEXT, "UUID=%04X-%04X", id >> 16, id & 0xffff);
}

const struct fs_ops fs_vfat_ops = {
	.name = "vfat",
	.flags = FS_SCRIPTED,
	.least = 4 << 20,
	.label_max = VFAT_LABEL,
	.check_label = vfat_check_label,
	.available = vfat_available,
	.sizes = vfat_sizes,
	.plan = vfat_plan,
	.write = vfat_write,
	.release = vfat_release,
	.id_text = vfat_id_text,
};
