/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a FAT12, FAT16 or FAT32 file system by path. A folder is a file of entries of 32 bytes; a
 * long name lies backwards in the entries before its short one. Names are compared without regard
 * to the case of ASCII letters, the long and the short one.
 *
 *   ┌──────┬───────────┬─ … ─┬────────────────────────┬─────────────┐
 *   │ boot │ first FAT │     │ root folder (FAT12/16) │ clusters 2… │
 *   └──────┴───────────┴─────┴────────────────────────┴─────────────┘
 *
 * The chain of a file may be a loop: what is read is bounded by sizes and by the folder's limit.
 * Source: Microsoft, "FAT: General Overview of On-Disk Format".
 */
#include "fs/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

enum {
	ENTRY = 32,
	FOLDER_MAX = 65536 * ENTRY, /* bytes: the specification's limit */
	FAT12_CLUSTERS = 4085,
	FAT16_CLUSTERS = 65525,
	STEPS_MAX = 1 << 20,        /* along chains, of one reader */
	LONG_UNITS = 20 * 13,       /* UTF-16 units of a long name's entries */
	NAME_ROOM = LONG_UNITS * 3 + 1,
	ATTR_VOLUME = 0x08, ATTR_FOLDER = 0x10, ATTR_LONG = 0x0f,
};

struct vfat_reader {
	struct reader r; /* first */
	struct dev *dev; /* borrowed */
	unsigned bits;   /* of an entry of the FAT: 12, 16, 32 */
	uint64_t fat_off, root_off, data_off, clusters;
	uint32_t root_bytes, root_cluster, cluster_bytes;
	unsigned steps;
};

struct node {
	enum reader_kind kind;
	bool root;        /* of FAT12/16: at root_off */
	uint32_t cluster; /* 0: none */
	uint64_t size;
};

static struct vfat_reader *from_reader(struct reader *r)
{
	return (struct vfat_reader *)r;
}

/* The cluster after *cluster; *cluster = 0 at the end of the chain. */
static int next_cluster(struct vfat_reader *v, uint32_t *cluster, struct error *err)
{
	uint64_t at = v->bits == 12 ? *cluster + *cluster / 2 : (uint64_t)*cluster * v->bits / 8;
	uint8_t e[4] = {0};
	uint32_t next;

	if (++v->steps > STEPS_MAX)
		return error_set(err, ERROR_INPUT, 0, "the file system has chains without end");
	if (dev_pread(v->dev, e, v->bits == 32 ? 4 : 2, v->fat_off + at, err) < 0)
		return -1;
	next = num_get_le32(e);
	if (v->bits == 12)
		next = *cluster & 1 ? next >> 4 : next & 0xfff;
	else if (v->bits == 32)
		next &= 0x0fffffff;
	*cluster = next >= 2 && next - 2 < v->clusters ? next : 0;
	return 0;
}

/* len bytes from off on; past the end of the chain is ERROR_INPUT, with `some` a short end. */
static int read_chain(struct vfat_reader *v, uint32_t cluster, uint64_t off, size_t len, bool some,
	struct buf *out, struct error *err)
{
	for (uint64_t skip = off / v->cluster_bytes; skip && cluster; skip--)
		if (next_cluster(v, &cluster, err) < 0)
			return -1;
	off %= v->cluster_bytes;
	while (len && cluster) {
		size_t piece = MIN(len, v->cluster_bytes - off);
		void *to = buf_extend(out, piece, err);

		if (!to || dev_pread(v->dev, to, piece,
				   v->data_off + (cluster - UINT64_C(2)) * v->cluster_bytes + off, err) < 0)
			return -1;
		len -= piece;
		off = 0;
		if (len && next_cluster(v, &cluster, err) < 0)
			return -1;
	}
	if (len && !some)
		return error_set(err, ERROR_INPUT, 0, "a file ends before its size");
	return 0;
}

static int read_folder(struct vfat_reader *v, const struct node *dir, struct buf *out,
	struct error *err)
{
	void *to;

	if (!dir->root)
		return read_chain(v, dir->cluster, 0, FOLDER_MAX, true, out, err);
	to = buf_extend(out, v->root_bytes, err);
	return to ? dev_pread(v->dev, to, v->root_bytes, v->root_off, err) : -1;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c >= 0xd800 && c < 0xe000)
		c = 0xfffd; /* outside the basic plane: no name that we look for */
	out[0] = (char)(0xe0 | c >> 12);
	out[1] = (char)(0x80 | (c >> 6 & 0x3f));
	out[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

/* A long name being put together. */
struct long_name {
	uint16_t units[LONG_UNITS];
	unsigned next;  /* number of the entry that must follow; 0: whole */
	uint8_t sum;
	bool there;
};

static void take_long(struct long_name *l, const uint8_t *e)
{
	static const uint8_t at[13] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
	unsigned number = e[0] & 0x3f;

	if (e[0] & 0x40) {
		memset(l->units, 0, sizeof(l->units));
		l->sum = e[13];
		l->there = true;
	} else if (!l->there || number != l->next || e[13] != l->sum) {
		number = 0;
	}
	if (number < 1 || number > LONG_UNITS / 13) {
		l->there = false;
		return;
	}
	for (size_t i = 0; i < 13; i++)
		l->units[(number - 1) * 13 + i] = num_get_le16(e + at[i]);
	l->next = number - 1;
}

static uint8_t short_sum(const uint8_t *name)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < 11; i++)
		sum = (uint8_t)((sum << 7 | sum >> 1) + name[i]);
	return sum;
}

static void long_text(const struct long_name *l, char out[NAME_ROOM])
{
	size_t len = 0;

	for (size_t i = 0; i < LONG_UNITS && l->units[i]; i++)
		len += put_utf8(out + len, l->units[i]);
	out[len] = '\0';
}

static size_t add_short(char *out, const uint8_t *field, size_t len, bool lower)
{
	while (len && field[len - 1] == ' ')
		len--;
	for (size_t i = 0; i < len; i++) {
		char c = field[i] < 0x80 ? (char)field[i] : '_';

		out[i] = lower && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	return len;
}

/* Bits of byte 12 say that the base, the extension is to be shown in lower case. */
static void short_text(const uint8_t *e, char out[NAME_ROOM])
{
	size_t len = add_short(out, e, 8, e[12] & 0x08), ext;

	out[len] = '.';
	ext = add_short(out + len + 1, e + 8, 3, e[12] & 0x10);
	out[ext ? len + 1 + ext : len] = '\0';
}

struct entry {
	char name[NAME_ROOM], alias[NAME_ROOM];
	struct node node;
};

/* What is done with each entry; 1 ends the walk. */
typedef int (*entry_fn)(void *arg, const struct entry *e, struct error *err);

static void take_short(const uint8_t *e, struct long_name *l, struct entry *out)
{
	short_text(e, out->alias);
	if (l->there && l->next == 0 && l->sum == short_sum(e))
		long_text(l, out->name);
	else
		memcpy(out->name, out->alias, sizeof(out->name));
	out->node = (struct node){.kind = e[11] & ATTR_FOLDER ? READER_FOLDER : READER_FILE,
		.cluster = (uint32_t)num_get_le16(e + 20) << 16 | num_get_le16(e + 26),
		.size = num_get_le32(e + 28)};
}

static int walk_folder(struct vfat_reader *v, const struct node *dir, entry_fn each, void *arg,
	struct error *err)
{
	CLEANUP_BUF struct buf data = BUF_INIT(FOLDER_MAX + 1);
	struct long_name l = {.there = false};
	struct entry entry;

	if (read_folder(v, dir, &data, err) < 0)
		return -1;
	for (size_t at = 0; at + ENTRY <= data.len && data.data[at]; at += ENTRY) {
		const uint8_t *e = (const uint8_t *)data.data + at;
		int r;

		if (e[0] == 0xe5) {
			l.there = false;
		} else if ((e[11] & 0x3f) == ATTR_LONG) {
			take_long(&l, e);
		} else {
			take_short(e, &l, &entry);
			if (v->bits != 32)
				entry.node.cluster &= 0xffff;
			if (entry.node.cluster < 2 || entry.node.cluster - 2 >= v->clusters)
				entry.node.cluster = 0;
			l.there = false;
			r = e[11] & ATTR_VOLUME || e[0] == '.' ? 0 : each(arg, &entry, err);
			if (r)
				return r;
		}
	}
	return 0;
}

struct search {
	const char *name;
	size_t len;
	struct node *found;
};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same_name(const struct search *s, const char *name)
{
	for (size_t i = 0; i < s->len; i++)
		if (lower(name[i]) != lower(s->name[i]))
			return false;
	return name[s->len] == '\0';
}

static int compare_entry(void *arg, const struct entry *e, struct error *err)
{
	struct search *s = arg;

	(void)err;
	if (!same_name(s, e->name) && !same_name(s, e->alias))
		return 0;
	*s->found = e->node;
	return 1;
}

static int find(struct vfat_reader *v, const char *path, struct node *out, struct error *err)
{
	*out = (struct node){READER_FOLDER, v->bits != 32, v->root_cluster, 0};
	for (path += strspn(path, "/"); *path && out->kind != READER_NONE; path += strspn(path, "/")) {
		struct node dir = *out;
		struct search s = {path, strcspn(path, "/"), out};

		*out = (struct node){.kind = READER_NONE};
		if (dir.kind != READER_FOLDER)
			return 0;
		if (walk_folder(v, &dir, compare_entry, &s, err) < 0)
			return -1;
		path += s.len;
	}
	return 0;
}

static int vfat_stat(struct reader *r, const char *path, enum reader_kind *kind, uint64_t *size,
	struct error *err)
{
	struct node n;

	if (find(from_reader(r), path, &n, err) < 0)
		return -1;
	*kind = n.kind;
	*size = n.kind == READER_FILE ? n.size : 0;
	return 0;
}

static int vfat_read(struct reader *r, const char *path, uint64_t off, size_t max, struct buf *out,
	struct error *err)
{
	struct node n;

	if (find(from_reader(r), path, &n, err) < 0)
		return -1;
	if (n.kind != READER_FILE || off >= n.size)
		return 0;
	return read_chain(from_reader(r), n.cluster, off, MIN(max, n.size - off), false, out, err);
}

struct listing {
	reader_name_fn each;
	void *arg;
};

static int list_entry(void *arg, const struct entry *e, struct error *err)
{
	struct listing *l = arg;

	return strchr(e->name, '/') || !e->name[0] ? 0 : l->each(l->arg, e->name, err);
}

static int vfat_list(struct reader *r, const char *path, reader_name_fn each, void *arg,
	struct error *err)
{
	struct listing l = {each, arg};
	struct node n;

	if (find(from_reader(r), path, &n, err) < 0)
		return -1;
	if (n.kind != READER_FOLDER)
		return 0;
	return walk_folder(from_reader(r), &n, list_entry, &l, err) < 0 ? -1 : 0;
}

static void vfat_close(struct reader *r)
{
	free(from_reader(r));
}

static const struct reader_ops ops = {
	.name = "vfat",
	.stat = vfat_stat,
	.read = vfat_read,
	.list = vfat_list,
	.close = vfat_close,
};

/* False when the boot sector's numbers do not fit together, or the device is too small for them. */
static bool read_boot(struct vfat_reader *v, const uint8_t *b)
{
	uint64_t sector = num_get_le16(b + 11), reserved = num_get_le16(b + 14);
	uint64_t sectors = num_get_le16(b + 19), fat = num_get_le16(b + 22), head;

	if (num_get_le16(b + 510) != 0xaa55 || sector < 512 || sector > 4096 ||
		(sector & (sector - 1)) || !b[13] || (b[13] & (b[13] - 1)) || !b[16] || !reserved)
		return false;
	fat = fat ? fat : num_get_le32(b + 36);
	sectors = sectors ? sectors : num_get_le32(b + 32);
	v->root_bytes = num_get_le16(b + 17) * (uint32_t)ENTRY;
	v->fat_off = reserved * sector;
	v->root_off = (reserved + b[16] * fat) * sector;
	head = reserved + b[16] * fat + num_div_up(v->root_bytes, sector);
	if (!fat || sectors <= head || sectors * sector > v->dev->size)
		return false;
	v->data_off = head * sector;
	v->cluster_bytes = b[13] * (uint32_t)sector;
	v->clusters = (sectors - head) / b[13];
	v->bits = v->clusters < FAT12_CLUSTERS ? 12 : v->clusters < FAT16_CLUSTERS ? 16 : 32;
	v->root_cluster = v->bits == 32 ? num_get_le32(b + 44) : 0;
	if (v->bits == 32 && (v->root_cluster < 2 || v->root_cluster - 2 >= v->clusters))
		return false;
	return (v->clusters + 2) * v->bits <= fat * sector * 8;
}

struct reader *vfat_reader_open(struct dev *dev, struct error *err)
{
	CLEANUP_FREE struct vfat_reader *v = calloc(1, sizeof(*v));
	uint8_t boot[512];

	if (!v)
		return error_nomem(err, "a reader of files"), NULL;
	v->r.ops = &ops;
	v->dev = dev;
	if (dev->size < sizeof(boot))
		return error_null(err, ERROR_INPUT, 0, "the file system has no whole boot sector");
	if (dev_pread(dev, boot, sizeof(boot), 0, err) < 0)
		return NULL;
	if (!read_boot(v, boot))
		return error_null(err, ERROR_INPUT, 0, "the boot sector's numbers do not fit together");
	return &steal_ptr(&v)->r;
}
