/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes, places and ids of everything that will be written. Two rounds a disk: what each partition
 * needs (so that the table can be laid out), then what each file system gets.
 */
#include "builder/plan_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "base/window.h"
#include "fs/tree_edit.h"

/* Ids are derived with this salt for ever: changing it changes every image. */
static const char id_salt[] = "amiwright";

static int derive(const struct plan *p, const char *device, const char *part, const char *purpose,
	uint8_t out[16], struct error *err)
{
	CLEANUP_FREE char *text =
		buf_strf(err, "%s/%s/%s/%s", p->identity, device, part ? part : "", purpose);

	if (!text)
		return -1;
	return hash_uuid(id_salt, text, out, err);
}

static int make_identity(struct plan *p, const char *salt, struct error *err)
{
	const struct spec *s = p->spec;
	CLEANUP_FREE char *text = buf_strf(err, "%s\n%s\n%s\n%s", s->name, s->version,
		s->architecture, salt ? salt : "");
	uint8_t digest[SHA256_SIZE];

	if (!text || sha256(text, strlen(text), digest, err) < 0)
		return -1;
	hex_encode(p->identity, digest, sizeof(digest));
	return 0;
}

/* A label of at most 16 bytes, cut between characters. */
static void set_label(char out[17], const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len > 16) {
		len = 16;
		while (len && ((unsigned char)text[len] & 0xC0) == 0x80)
			len--;
	}
	memcpy(out, text ? text : "", len);
	out[len] = '\0';
}

static int init_fs(const struct plan *p, struct plan_disk *disk, struct plan_fs *fs,
	struct error *err)
{
	const struct spec_partition *part = fs->part;
	const char *device = disk->spec->device;
	const char *name = part ? part->name : NULL;

	fs->type = part ? part->filesystem : disk->spec->filesystem;
	fs->mount = part ? part->mount : disk->spec->mount;
	fs->tree = p->blank;
	fs->root = TREE_ROOT;
	fs->ext4.epoch = p->epoch;
	fs->ext4.reserved_percent = part ? part->reserved_percent : 0;
	fs->ext4.last_mounted = fs->mount;
	set_label(fs->ext4.label, part && part->label ? part->label : name);
	if (derive(p, device, name, "filesystem", fs->ext4.uuid, err) < 0)
		return -1;
	return derive(p, device, name, "hash-seed", fs->ext4.hash_seed, err);
}

/* Partitions with their ids and the file systems in them, without sizes. */
static int init_disk(const struct plan *p, struct plan_disk *disk, struct error *err)
{
	const struct spec_disk *spec = disk->spec;
	struct partition_table *table = &disk->table;

	disk->fs = calloc(spec->nr_partitions + 1, sizeof(*disk->fs));
	if (!disk->fs)
		return error_nomem(err, "the plan");
	if (spec->filesystem)
		return init_fs(p, disk, &disk->fs[disk->nr_fs++], err);
	if (!spec->nr_partitions)
		return 0;
	table->kind = PARTITION_TABLE_GPT;
	table->parts = calloc(spec->nr_partitions, sizeof(*table->parts));
	if (!table->parts)
		return error_nomem(err, "the plan");
	table->nr = spec->nr_partitions;
	if (derive(p, spec->device, NULL, "disk", table->guid, err) < 0)
		return -1;
	for (size_t i = 0; i < table->nr; i++) {
		const struct spec_partition *part = &spec->partitions[i];
		struct plan_fs *fs = &disk->fs[disk->nr_fs];

		snprintf(table->parts[i].name, sizeof(table->parts[i].name), "%s", part->name);
		if (derive(p, spec->device, part->name, "partition", table->parts[i].uuid, err) < 0 ||
			partition_type(part->type, p->spec->architecture, table->parts[i].type,
				err) < 0)
			return -1;
		if (!part->filesystem)
			continue;
		fs->part = part;
		fs->part_index = i;
		disk->nr_fs++;
		if (init_fs(p, disk, fs, err) < 0)
			return -1;
	}
	return 0;
}

static struct diag_place fs_place(const struct plan_disk *disk, const struct plan_fs *fs)
{
	return fs->part ? fs->part->size_place : disk->spec->size_place;
}

static const char *fs_name(const struct plan_disk *disk, const struct plan_fs *fs)
{
	return fs->part ? fs->part->name : disk->spec->device;
}

/*
 * Notes a mistake that only the sums could find, with its place in the spec. What is no mistake of
 * the spec (memory, reading) stays as it is.
 */
static int too_small(struct diag *d, struct diag_place place, const char *what, const char *name,
	struct error *err)
{
	if (err->kind != ERROR_INPUT)
		return -1;
	diag_add(d, place, "%s '%s': %s", what, name, err->text);
	return diag_result(d, err);
}

static int mount_place(const struct plan_fs *fs, const struct plan_disk *disk, struct diag *d,
	struct error *err)
{
	struct diag_place place = fs->part ? fs->part->mount_place : disk->spec->mount_place;

	diag_add(d, place, "mount point '%s' is no directory of its own in the tree", fs->mount);
	return diag_result(d, err);
}

/*
 * Finds or makes the directory that the file system is mounted on, and takes it as the file
 * system's root.
 */
static int mount_fs(const struct plan *p, const struct plan_disk *disk, struct plan_fs *fs,
	struct tree *t, struct diag *d, struct error *err)
{
	struct tree_attr attr;

	fs->tree = t;
	if (tree_lookup(t, fs->mount, true, &fs->root, err) < 0)
		return error_wrap(err, "mount point '%s'", fs->mount);
	if (fs->root == TREE_NONE &&
		(tree_edit_mkdir(t, fs->mount, 0755, (struct tree_edit_owner){0, 0}, p->epoch,
			 err) < 0 ||
			tree_lookup(t, fs->mount, true, &fs->root, err) < 0))
		return error_wrap(err, "mount point '%s'", fs->mount);
	tree_get(t, fs->root, &attr);
	/* A symbolic link can lead to a directory that another file system has already. */
	if (!S_ISDIR(attr.mode) || attr.mount_point ||
		(fs->root == TREE_ROOT && strcmp(fs->mount, "/")))
		return mount_place(fs, disk, d, err);
	if (fs->root != TREE_ROOT)
		tree_set_mount_point(t, fs->root);
	return 0;
}

/*
 * Missing mount points are made from the shortest to the longest, so that a directory made for one
 * of them lies in the right file system whatever the order in the spec: the tree is one, only marks
 * differ. Hence the spec's order is fine.
 */
static int mount_all(struct plan *p, struct tree *t, struct diag *d, struct error *err)
{
	for (size_t i = 0; i < p->nr_disks; i++) {
		struct plan_disk *disk = &p->disks[i];

		for (size_t j = 0; j < disk->nr_fs; j++)
			if (disk->fs[j].mount &&
				mount_fs(p, disk, &disk->fs[j], t, d, err) < 0)
				return -1;
	}
	return 0;
}

/*
 * What a partition needs. A `rest` on a disk of fixed size needs the bare minimum; where the disk
 * grows with its content, headroom too.
 */
static int ask_size(const struct plan_disk *disk, const struct plan_fs *fs, uint64_t *size,
	struct error *err)
{
	struct ext4_plan sums;

	if (disk->spec->size_kind == SPEC_SIZE_BYTES && fs->part &&
		fs->part->size_kind == SPEC_SIZE_REST) {
		if (ext4_plan(fs->tree, fs->root, &fs->ext4, &sums, err) < 0)
			return -1;
		*size = sums.min_size;
		return 0;
	}
	return ext4_auto_size(fs->tree, fs->root, &fs->ext4, 0, size, err);
}

static int fill_request(const struct plan_disk *disk, size_t index, const struct plan_fs *fs,
	struct partition_request *req, struct error *err)
{
	const struct spec_partition *part = &disk->spec->partitions[index];
	uint64_t size = PARTITION_ALIGN;

	req->name = part->name;
	if (part->size_kind == SPEC_SIZE_BYTES) {
		req->size = part->size;
		return 0;
	}
	if (fs && ask_size(disk, fs, &size, err) < 0)
		return error_wrap(err, "partition '%s'", part->name);
	if (part->size_kind == SPEC_SIZE_AUTO)
		req->size = size;
	else
		req->min_size = size;
	return 0;
}

static int lay_out(struct plan_disk *disk, struct diag *d, struct error *err)
{
	CLEANUP_FREE struct partition_request *req = calloc(disk->table.nr, sizeof(*req));
	struct partition_table *table = &disk->table;
	uint64_t needed;
	size_t next = 0;

	if (!req)
		return error_nomem(err, "a partition table");
	for (size_t i = 0; i < table->nr; i++) {
		bool has_fs = next < disk->nr_fs && disk->fs[next].part_index == i;

		if (fill_request(disk, i, has_fs ? &disk->fs[next] : NULL, &req[i], err) < 0)
			return -1;
		next += has_fs;
	}
	disk->size = disk->spec->size;
	if (disk->spec->size_kind == SPEC_SIZE_AUTO) {
		if (partition_layout(req, table->nr, 0, table->parts, &needed, err) < 0)
			return too_small(d, disk->spec->size_place, "disk", disk->spec->device, err);
		disk->size = num_align(MAX(needed, 1), GIB);
	}
	if (partition_layout(req, table->nr, disk->size, table->parts, &needed, err) < 0)
		return too_small(d, disk->spec->size_place, "disk", disk->spec->device, err);
	for (size_t i = 0; i < disk->nr_fs; i++) {
		disk->fs[i].off = table->parts[disk->fs[i].part_index].off;
		disk->fs[i].len = table->parts[disk->fs[i].part_index].len;
	}
	return 0;
}

/* A file system over the whole disk. */
static int lay_out_whole(struct plan_disk *disk, struct error *err)
{
	struct plan_fs *fs = &disk->fs[0];
	uint64_t size;

	disk->size = disk->spec->size;
	if (disk->spec->size_kind == SPEC_SIZE_AUTO) {
		if (ext4_auto_size(fs->tree, fs->root, &fs->ext4, 0, &size, err) < 0)
			return error_wrap(err, "disk '%s'", disk->spec->device);
		disk->size = num_align(MAX(size, 1), GIB);
	}
	fs->len = disk->size;
	return 0;
}

static int plan_disk_sizes(struct plan_disk *disk, struct diag *d, struct error *err)
{
	if (!plan_has_content(disk))
		return 0;
	if ((disk->table.nr ? lay_out(disk, d, err) : lay_out_whole(disk, err)) < 0)
		return -1;
	for (size_t i = 0; i < disk->nr_fs; i++) {
		struct plan_fs *fs = &disk->fs[i];

		fs->ext4.size = fs->len;
		if (ext4_plan(fs->tree, fs->root, &fs->ext4, &fs->sums, err) < 0)
			return too_small(d, fs_place(disk, fs), fs->part ? "partition" : "disk",
				fs_name(disk, fs), err);
	}
	return 0;
}

int plan_make(struct plan *p, const struct spec *s, struct tree *t, const struct plan_opts *opts,
	struct diag *d, struct error *err)
{
	memset(p, 0, sizeof(*p));
	p->spec = s;
	p->epoch = opts->epoch;
	p->root_disk = plan_root_disk(s);
	p->disks = calloc(s->nr_disks + 1, sizeof(*p->disks));
	if (!p->disks)
		return error_nomem(err, "the plan");
	p->nr_disks = s->nr_disks;
	p->blank = tree_new(NULL, err);
	if (!p->blank)
		return -1;
	tree_set_mtime(p->blank, TREE_ROOT, p->epoch, 0);
	if (tree_finish(p->blank, p->epoch, err) < 0)
		return -1;
	if (make_identity(p, opts->salt, err) < 0 ||
		plan_ami_name(s, p->epoch, p->ami_name, err) < 0)
		return -1;
	for (size_t i = 0; i < p->nr_disks; i++) {
		p->disks[i].spec = &s->disks[i];
		if (init_disk(p, &p->disks[i], err) < 0)
			return -1;
	}
	if (mount_all(p, t, d, err) < 0 || plan_fstab(p, t, err) < 0 ||
		tree_finish(t, p->epoch, err) < 0)
		return -1;
	for (size_t i = 0; i < p->nr_disks; i++)
		if (plan_disk_sizes(&p->disks[i], d, err) < 0)
			return -1;
	return 0;
}

void plan_release(struct plan *p)
{
	for (size_t i = 0; p->disks && i < p->nr_disks; i++) {
		free(p->disks[i].table.parts);
		free(p->disks[i].fs);
	}
	free(p->disks);
	tree_free(p->blank);
	memset(p, 0, sizeof(*p));
}

static int write_fs(const struct plan_fs *fs, struct dev *dev, struct error *err)
{
	struct dev *window = window_new(dev, fs->off, fs->len, err);
	int ret;

	if (!window)
		return -1;
	ret = ext4_write(window, fs->tree, fs->root, &fs->ext4, err);
	/* An error of writing says more than one of closing after it. */
	if (dev_close(window, ret < 0 ? NULL : err) < 0)
		ret = -1;
	return ret;
}

int plan_write_disk(const struct plan *p, size_t disk, struct dev *dev, struct error *err)
{
	const struct plan_disk *d = &p->disks[disk];

	if (d->table.nr && partition_write(dev, &d->table, err) < 0)
		return error_wrap(err, "disk '%s'", d->spec->device);
	for (size_t i = 0; i < d->nr_fs; i++)
		if (write_fs(&d->fs[i], dev, err) < 0)
			return error_wrap(err, "file system on '%s'", fs_name(d, &d->fs[i]));
	return 0;
}
