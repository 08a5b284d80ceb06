/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vfat image that the programs have made, mapped into memory. It is walked side by side with the
 * tree: entries lie in the order in which they were made. So no program's idea of the time stays in
 * it, and a name that was stored in another way than the tree has it does not go unseen.
 *
 * An entry (32 bytes): name 11, attributes at 11, case of a short name at 12, tenths of the creation
 * at 13, creation at 14, access at 18, cluster at 20 and 26, writing at 22, size at 28. Those with
 * attributes 0x0f before it hold 13 UTF-16 units each of its long name, the last part first.
 */
#include "fs/vfat_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/array.h"
#include "base/num.h"

enum {
	ATTR_LABEL = 0x08,
	ATTR_DIR = 0x10,
	ATTR_LONG = 0x0f,
	DELETED = 0xe5,
	LOWER_NAME = 0x08,
	LOWER_TYPE = 0x10,
	NAME_UNITS = 20 * VFAT_LFN_UNITS,
	NAME_BYTES = 3 * NAME_UNITS + 1,
};

struct vfat_image {
	uint8_t *map;
	uint64_t size;
	const uint8_t *fat;
	uint32_t bits, cluster_bytes, clusters, root_entries, root_cluster;
	uint64_t root_off, data_off;
};

/* Entries of one directory, one after the other. */
struct cursor {
	const struct vfat_image *im;
	uint32_t cluster; /* 0: FAT16's root */
	uint32_t off;     /* bytes in the cluster */
	uint32_t steps;   /* clusters so far: a loop is found out by their number */
};

uint64_t vfat_image_data_off(const struct vfat_image *im)
{
	return im->data_off;
}

uint32_t vfat_image_cluster_bytes(const struct vfat_image *im)
{
	return im->cluster_bytes;
}

uint32_t vfat_image_clusters(const struct vfat_image *im)
{
	return im->clusters;
}

static uint32_t fat_entry(const struct vfat_image *im, uint32_t cluster)
{
	if (im->bits == 16)
		return num_get_le16(im->fat + 2 * (size_t)cluster);
	return num_get_le32(im->fat + 4 * (size_t)cluster) & 0x0fffffff;
}

bool vfat_image_in_use(const struct vfat_image *im, uint32_t i)
{
	return fat_entry(im, i + 2) != 0;
}

static int read_layout(struct vfat_image *im, const struct vfat_shape *shape, struct error *err)
{
	const uint8_t *b = im->map;
	uint64_t reserved = num_get_le16(b + 14), fat = num_get_le16(b + 22);
	uint64_t total = num_get_le16(b + 19), sector = num_get_le16(b + 11), left;

	im->bits = shape->bits;
	im->root_entries = num_get_le16(b + 17);
	im->cluster_bytes = b[13] * VFAT_SECTOR;
	fat = fat ? fat : num_get_le32(b + 36);
	total = total ? total : num_get_le32(b + 32);
	im->root_cluster = shape->bits == 32 ? num_get_le32(b + 44) : 0;
	im->root_off = (reserved + VFAT_FATS * fat) * VFAT_SECTOR;
	im->data_off = im->root_off + (uint64_t)im->root_entries * VFAT_ENTRY;
	im->fat = b + reserved * VFAT_SECTOR;
	left = total * VFAT_SECTOR - MIN(total * VFAT_SECTOR, im->data_off);
	im->clusters = im->cluster_bytes ? (uint32_t)(left / im->cluster_bytes) : 0;
	if (sector != VFAT_SECTOR || b[13] != shape->per_cluster || b[16] != VFAT_FATS ||
		total != shape->sectors || im->clusters < shape->clusters ||
		im->root_entries != shape->root_entries ||
		fat * VFAT_SECTOR / (im->bits / 8) < (uint64_t)im->clusters + 2)
		return error_set(err, ERROR_INPUT, 0,
			"mkfs.fat made a file system of another shape than it was told");
	return 0;
}

struct vfat_image *vfat_image_open(int fd, const struct vfat_shape *shape, struct error *err)
{
	CLEANUP(vfat_image_cleanup) struct vfat_image *im = calloc(1, sizeof(*im));

	if (!im) {
		error_nomem(err, "a vfat");
		return NULL;
	}
	im->size = shape->sectors * VFAT_SECTOR;
	im->map = mmap(NULL, im->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (im->map == MAP_FAILED) {
		im->map = NULL;
		return error_null(err, ERROR_IO, errno, "cannot map a vfat image");
	}
	if (read_layout(im, shape, err) < 0)
		return NULL;
	return steal_ptr(&im);
}

void vfat_image_close(struct vfat_image *im)
{
	if (!im)
		return;
	if (im->map)
		munmap(im->map, im->size);
	free(im);
}

/* The next entry; NULL behind the last. A chain that leads nowhere ends there too. */
static uint8_t *next_entry(struct cursor *c)
{
	const struct vfat_image *im = c->im;
	uint8_t *e;

	if (c->cluster == 0) {
		if (c->off == im->root_entries * VFAT_ENTRY)
			return NULL;
		e = im->map + im->root_off + c->off;
		c->off += VFAT_ENTRY;
		return e[0] ? e : NULL;
	}
	if (c->off == im->cluster_bytes) {
		c->cluster = fat_entry(im, c->cluster);
		c->off = 0;
		c->steps++;
	}
	if (c->cluster < 2 || c->cluster - 2 >= im->clusters || c->steps > im->clusters)
		return NULL;
	e = im->map + im->data_off + (uint64_t)(c->cluster - 2) * im->cluster_bytes + c->off;
	c->off += VFAT_ENTRY;
	return e[0] ? e : NULL;
}

/* Seconds since 1970 as FAT has them: from 1980 to 2107, in twos. */
static void dos_time(int64_t seconds, uint16_t *date, uint16_t *clock)
{
	const int64_t first = 315532800, last = 4354819198;
	int64_t s = seconds < first ? first : MIN(seconds, last);
	uint32_t in_day = (uint32_t)(s % 86400), day = (uint32_t)(s / 86400) - 3652, year = 1980;
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	uint32_t month = 0;

	for (;; year++) {
		uint32_t len = year % 4 == 0 && year != 2100 ? 366 : 365;

		if (day < len)
			break;
		day -= len;
	}
	for (;; month++) {
		uint32_t len = days[month] + (month == 1 && year % 4 == 0 && year != 2100);

		if (day < len)
			break;
		day -= len;
	}
	*date = (uint16_t)((year - 1980) << 9 | (month + 1) << 5 | (day + 1));
	*clock = (uint16_t)(in_day / 3600 << 11 | in_day / 60 % 60 << 5 | in_day % 60 / 2);
}

static void set_times(uint8_t *e, int64_t seconds)
{
	uint16_t date, clock;

	dos_time(seconds, &date, &clock);
	e[13] = 0;
	num_put_le16(e + 14, clock);
	num_put_le16(e + 16, date);
	num_put_le16(e + 18, date);
	num_put_le16(e + 22, clock);
	num_put_le16(e + 24, date);
}

static size_t put_utf8(char *out, uint16_t unit)
{
	if (unit < 0x80) {
		out[0] = (char)unit;
		return 1;
	}
	if (unit < 0x800) {
		out[0] = (char)(0xc0 | unit >> 6);
		out[1] = (char)(0x80 | (unit & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | unit >> 12);
	out[1] = (char)(0x80 | (unit >> 6 & 0x3f));
	out[2] = (char)(0x80 | (unit & 0x3f));
	return 3;
}

/* A part of a long name into its place among the units. */
static void take_part(const uint8_t *e, uint16_t units[NAME_UNITS])
{
	static const uint8_t at[VFAT_LFN_UNITS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
	uint32_t part = (e[0] & 0x3fu) - 1;

	if (part >= NAME_UNITS / VFAT_LFN_UNITS)
		return;
	/* The first one that comes is the last part, and everything behind it is no name. */
	if (e[0] & 0x40)
		memset(units, 0, NAME_UNITS * sizeof(*units));
	for (size_t i = 0; i < VFAT_LFN_UNITS; i++)
		units[part * VFAT_LFN_UNITS + i] = num_get_le16(e + at[i]);
}

static void long_name(const uint16_t units[NAME_UNITS], char name[NAME_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; i < NAME_UNITS && units[i]; i++)
		len += put_utf8(name + len, units[i]);
	name[len] = '\0';
}

static char letter(uint8_t c, bool lower)
{
	return (char)(lower && c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static void short_name(const uint8_t *e, char name[NAME_BYTES])
{
	size_t len = 0, base = 8, type = 3;

	while (base > 0 && e[base - 1] == ' ')
		base--;
	while (type > 0 && e[8 + type - 1] == ' ')
		type--;
	for (size_t i = 0; i < base; i++)
		name[len++] = letter(e[i], e[12] & LOWER_NAME);
	if (type)
		name[len++] = '.';
	for (size_t i = 0; i < type; i++)
		name[len++] = letter(e[8 + i], e[12] & LOWER_TYPE);
	name[len] = '\0';
}

static uint32_t first_cluster(const uint8_t *e)
{
	return (uint32_t)num_get_le16(e + 20) << 16 | num_get_le16(e + 26);
}

/* The next entry that is a file or folder, with its name; times of others are set on the way. */
static uint8_t *next_file(struct cursor *c, int64_t seconds, char name[NAME_BYTES])
{
	uint16_t units[NAME_UNITS] = {0};
	uint8_t *e;

	while ((e = next_entry(c))) {
		if (e[0] == DELETED)
			continue;
		if ((e[11] & 0x3f) == ATTR_LONG) {
			take_part(e, units);
			continue;
		}
		if (!(e[11] & ATTR_LABEL) && e[0] != '.') {
			if (units[0])
				long_name(units, name);
			else
				short_name(e, name);
			return e;
		}
		set_times(e, seconds);
		memset(units, 0, sizeof(units));
	}
	return NULL;
}

static int check_entry(const struct fs *fs, tree_node node, const uint8_t *e, const char *name,
	const struct tree_attr *attr, struct error *err)
{
	size_t len;
	const char *wanted = tree_name(fs->tree, node, &len);
	bool dir = S_ISDIR(attr->mode);

	if (!e)
		return vfat_path_error(fs, node, err, "mtools did not put it on the FAT");
	if (strcmp(name, wanted) != 0)
		return vfat_path_error(fs, node, err, "mtools put it on the FAT as '%s'", name);
	if (dir != !!(e[11] & ATTR_DIR) || (!dir && num_get_le32(e + 28) != attr->size))
		return vfat_path_error(fs, node, err, "mtools put it on the FAT with %u bytes",
			num_get_le32(e + 28));
	return 0;
}

/* Directories wait for their turn in depth-first order, which is that of vfat_next_dir(). */
struct waiting {
	uint32_t *clusters;
	size_t nr, alloc;
};

static int wait_for(struct waiting *w, uint32_t cluster, struct error *err)
{
	if (ARRAY_GROW(w->clusters, w->nr + 1, w->alloc, "folders of a vfat", err) < 0)
		return -1;
	w->clusters[w->nr++] = cluster;
	return 0;
}

static void reverse(uint32_t *items, size_t nr)
{
	for (size_t i = 0; i < nr / 2; i++) {
		uint32_t other = items[i];

		items[i] = items[nr - 1 - i];
		items[nr - 1 - i] = other;
	}
}

static int finish_dir(struct vfat_image *im, const struct fs *fs, tree_node dir, struct waiting *w,
	struct error *err)
{
	struct cursor c = {.im = im, .cluster = w->clusters[--w->nr]};
	const size_t bottom = w->nr;
	char name[NAME_BYTES] = "";
	struct tree_attr attr;
	int64_t seconds;
	uint8_t *e;

	tree_get(fs->tree, dir, &attr);
	seconds = dir == fs->root ? fs->opts.epoch : attr.mtime;
	for (tree_node n = vfat_next_child(fs, dir, TREE_NONE); n != TREE_NONE;
		n = vfat_next_child(fs, dir, n)) {
		e = next_file(&c, seconds, name);
		tree_get(fs->tree, n, &attr);
		if (check_entry(fs, n, e, name, &attr, err) < 0)
			return -1;
		set_times(e, attr.mtime);
		if (S_ISDIR(attr.mode) && wait_for(w, first_cluster(e), err) < 0)
			return -1;
	}
	e = next_file(&c, seconds, name);
	if (e)
		return vfat_path_error(fs, dir, err, "mtools added '%s' on the FAT", name);
	reverse(w->clusters + bottom, w->nr - bottom);
	return 0;
}

int vfat_image_finish(struct vfat_image *im, const struct fs *fs, struct error *err)
{
	struct waiting w = {NULL, 0, 0};
	int r = wait_for(&w, im->root_cluster, err);

	for (tree_node dir = fs->root; r == 0 && dir != TREE_NONE; dir = vfat_next_dir(fs, dir))
		r = finish_dir(im, fs, dir, &w, err);
	free(w.clusters);
	return r;
}
