/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as pax archives. An entry is
 *
 *   [header 'x', records, padding]   only where the plain header does not say it all
 *   header                           512 bytes, numbers in octal
 *   content, padding                 files; a sparse one begins with the map of its pieces
 *
 * All goes through one buffer, into which contents are read directly.
 */
#include "fs/tree_tar_out.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"

/* BLOCK is also the largest write; RECORD is what tar pads the end of an archive to. */
enum { SECTOR = 512, BLOCK = 256 << 10, RECORD = 10240, PAX_MAX = 64 << 20 };

/* The largest values that the octal fields of a header hold. */
#define OCTAL_7 UINT64_C(07777777)
#define OCTAL_11 UINT64_C(077777777777)

/* The header of POSIX ustar. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == SECTOR, "a tar header is one sector");

struct out {
	const struct tree *t;
	int fd;
	const char *name; /* of the archive, for messages */
	bool (*cancelled)(void);
	tree_node root;
	size_t root_len;  /* bytes of root's path that entries do not show */
	tree_node *first; /* by inode: the entry that carries the content */
	struct buf path, link, pax, map;
	uint8_t *block;
	size_t fill;
	uint64_t written; /* bytes of the archive, with what is in block */
};

/* One entry on its way. */
struct entry {
	tree_node node;
	struct tree_attr attr;
	char type;
	uint64_t size; /* of what follows the header */
	bool sparse;
};

/* A run of a file that is stored. */
struct run {
	uint64_t off, len;
};

static int path_error(struct out *o, tree_node node, struct error *err, const char *what)
{
	buf_clear(&o->path);
	if (tree_path(o->t, node, &o->path, err) < 0)
		return -1;
	return error_set(err, ERROR_INPUT, 0, "'%s': %s", buf_str(&o->path), what);
}

static int flush(struct out *o, struct error *err)
{
	if (o->cancelled && o->cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
	if (file_write_all(o->fd, o->block, o->fill, o->name, err) < 0)
		return -1;
	o->fill = 0;
	return 0;
}

/* Room for up to `want` bytes at o->block + o->fill; *len is what there is, > 0. */
static int make_room(struct out *o, uint64_t want, size_t *len, struct error *err)
{
	if (o->fill == BLOCK && flush(o, err) < 0)
		return -1;
	*len = (size_t)MIN(want, (uint64_t)(BLOCK - o->fill));
	return 0;
}

static void took(struct out *o, size_t len)
{
	o->fill += len;
	o->written += len;
}

static int put(struct out *o, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;
	size_t step;

	for (; len > 0; p += step, len -= step) {
		if (make_room(o, len, &step, err) < 0)
			return -1;
		memcpy(o->block + o->fill, p, step);
		took(o, step);
	}
	return 0;
}

static int pad_to(struct out *o, uint64_t unit, struct error *err)
{
	uint64_t left = num_align(o->written, unit) - o->written;
	size_t step;

	for (; left > 0; left -= step) {
		if (make_room(o, left, &step, err) < 0)
			return -1;
		memset(o->block + o->fill, 0, step);
		took(o, step);
	}
	return 0;
}

static int put_content(struct out *o, tree_node node, uint64_t off, uint64_t len, struct error *err)
{
	size_t step;

	for (; len > 0; off += step, len -= step) {
		if (make_room(o, len, &step, err) < 0 ||
			tree_pread(o->t, node, o->block + o->fill, step, off, err) < 0)
			return -1;
		took(o, step);
	}
	return pad_to(o, SECTOR, err);
}

/* "LENGTH key=value\n", where LENGTH counts itself. */
static int add_record(
	struct out *o, const char *key, const void *value, size_t value_len, struct error *err)
{
	size_t rest = strlen(key) + value_len + 3, len = rest + 1;

	for (size_t digits = 1, limit = 10; len >= limit; limit *= 10)
		len = rest + ++digits;
	if (buf_addf(&o->pax, err, "%zu %s=", len, key) < 0 ||
		buf_add(&o->pax, value, value_len, err) < 0)
		return -1;
	return buf_add_char(&o->pax, '\n', err);
}

static int add_number(struct out *o, const char *key, uint64_t value, struct error *err)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);

	return add_record(o, key, text, (size_t)len, err);
}

/* A number into its field; one that is too large becomes a record, and the field 0. */
static int set_number(struct out *o, char *field, size_t size, const char *key, uint64_t value,
	struct error *err)
{
	uint64_t max = size == 8 ? OCTAL_7 : OCTAL_11;
	char text[24];

	if (value > max && add_number(o, key, value, err) < 0)
		return -1;
	snprintf(text, sizeof(text), "%0*llo", (int)size - 1,
		(unsigned long long)(value > max ? 0 : value));
	memcpy(field, text, size - 1);
	return 0;
}

static int set_text(struct out *o, char field[100], const char *key, const struct buf *text,
	struct error *err)
{
	memcpy(field, buf_str(text), MIN(text->len, 100));
	return key && text->len > 100 ? add_record(o, key, text->data, text->len, err) : 0;
}

/* Pax times are decimal numbers: half a second before 1969-12-31T23:59:59Z is -1.5. */
static int set_mtime(struct out *o, struct header *h, const struct tree_attr *a, struct error *err)
{
	bool negative = a->mtime < 0;
	uint64_t whole = negative ? (uint64_t)-a->mtime : (uint64_t)a->mtime;
	uint32_t part = a->mtime_ns;
	char text[40];
	int len;

	if (!negative && part == 0)
		return set_number(o, h->mtime, sizeof(h->mtime), "mtime", whole, err);
	if (negative && part > 0) {
		whole--;
		part = 1000000000 - part;
	}
	len = snprintf(text, sizeof(text), "%s%llu.%09u", negative ? "-" : "",
		(unsigned long long)whole, part);
	snprintf(h->mtime, sizeof(h->mtime), "%011llo",
		(unsigned long long)(negative || whole > OCTAL_11 ? 0 : whole));
	return add_record(o, "mtime", text, (size_t)len, err);
}

/* Tags of ACL entries in the kernel's xattr form (linux/posix_acl_xattr.h), and their text. */
static const struct {
	uint16_t tag;
	const char *text;
	bool has_id;
} acl_tags[] = {
	{0x01, "user", false},
	{0x02, "user", true},
	{0x04, "group", false},
	{0x08, "group", true},
	{0x10, "mask", false},
	{0x20, "other", false},
};

static bool acl_entry_text(const uint8_t *p, char out[40])
{
	uint16_t tag = num_get_le16(p), perm = num_get_le16(p + 2);
	char id[16] = "";

	for (size_t i = 0; i < ARRAY_SIZE(acl_tags); i++) {
		if (acl_tags[i].tag != tag || perm > 7)
			continue;
		if (acl_tags[i].has_id)
			snprintf(id, sizeof(id), "%u", num_get_le32(p + 4));
		snprintf(out, 40, "%s:%s:%c%c%c", acl_tags[i].text, id, perm & 4 ? 'r' : '-',
			perm & 2 ? 'w' : '-', perm & 1 ? 'x' : '-');
		return true;
	}
	return false;
}

/* Behind a version (2) of 4 bytes come entries of 8: tag, permissions, id. */
static int add_acl(struct out *o, tree_node node, const char *key, const uint8_t *value, size_t len,
	struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	char entry[40];

	if (len < 12 || len % 8 != 4 || num_get_le32(value) != 2)
		return path_error(o, node, err, "its ACL is damaged");
	for (size_t at = 4; at < len; at += 8) {
		if (!acl_entry_text(value + at, entry))
			return path_error(o, node, err, "its ACL has an entry of an unknown kind");
		if ((at > 4 && buf_add_char(&text, ',', err) < 0) ||
			buf_add_str(&text, entry, err) < 0)
			return -1;
	}
	return add_record(o, key, text.data, text.len, err);
}

static int add_xattr(
	struct out *o, const char *name, const void *value, size_t len, struct error *err)
{
	CLEANUP_BUF struct buf key = BUF_INIT(0);

	if (buf_add_str(&key, "SCHILY.xattr.", err) < 0)
		return -1;
	for (const char *p = name; *p; p++)
		if (*p == '%' || *p == '=' ? buf_addf(&key, err, "%%%02X", *p) < 0
					   : buf_add_char(&key, *p, err) < 0)
			return -1;
	return add_record(o, key.data, value, len, err);
}

static int add_xattrs(struct out *o, tree_node node, struct error *err)
{
	const char *name;
	const void *value;
	size_t len;
	int ret = 0;

	for (uint32_t i = 0; ret == 0 && tree_xattr(o->t, node, i, &name, &value, &len); i++) {
		if (!strcmp(name, "system.posix_acl_access"))
			ret = add_acl(o, node, "SCHILY.acl.access", value, len, err);
		else if (!strcmp(name, "system.posix_acl_default"))
			ret = add_acl(o, node, "SCHILY.acl.default", value, len, err);
		else
			ret = add_xattr(o, name, value, len, err);
	}
	return ret;
}

/*
 * The run at or behind *index, in whole sectors but for the file's end, as unpackers expect each
 * to begin a sector. False when no more comes.
 */
static bool next_run(const struct out *o, const struct entry *e, uint32_t *index, struct run *run)
{
	uint32_t nr = tree_nr_pieces(o->t, e->node);
	struct tree_piece piece;
	uint64_t end = 0;

	for (bool open = false; *index < nr; (*index)++) {
		tree_piece(o->t, e->node, *index, &piece);
		if (open && piece.off / SECTOR * SECTOR > end)
			break;
		if (!open)
			run->off = piece.off / SECTOR * SECTOR;
		open = true;
		end = MIN(num_align(piece.off + piece.len, SECTOR), e->attr.size);
	}
	run->len = end - run->off;
	return end > 0;
}

static bool has_holes(const struct out *o, const struct entry *e)
{
	uint32_t index = 0;
	struct run run = {0, 0};

	return e->attr.size > 0 &&
	       !(next_run(o, e, &index, &run) && run.off == 0 && run.len == e->attr.size);
}

/*
 * GNU sparse format 1.0: number of runs, then offset and length of each, a number a line, padded to
 * a sector. A file that ends in a hole has an empty run at its end.
 */
static int make_map(struct out *o, struct entry *e, struct error *err)
{
	CLEANUP_BUF struct buf lines = BUF_INIT(1 << 30);
	struct run run = {0, 0};
	uint64_t stored = 0, end = 0, nr = 0, map_len;

	for (uint32_t i = 0; run = (struct run){0, 0}, next_run(o, e, &i, &run); nr++) {
		end = run.off + run.len;
		stored += num_align(run.len, SECTOR);
		/* The last run's padding is no part of the size. */
		if (end == e->attr.size)
			stored -= num_align(run.len, SECTOR) - run.len;
		if (buf_addf(&lines, err, "%llu\n%llu\n", (unsigned long long)run.off,
			    (unsigned long long)run.len) < 0)
			return -1;
	}
	if (end < e->attr.size) {
		if (buf_addf(&lines, err, "%llu\n0\n", (unsigned long long)e->attr.size) < 0)
			return -1;
		nr++;
	}
	buf_clear(&o->map);
	if (buf_addf(&o->map, err, "%llu\n", (unsigned long long)nr) < 0 ||
		buf_add(&o->map, lines.data, lines.len, err) < 0)
		return -1;
	map_len = num_align(o->map.len, SECTOR);
	e->size = map_len + stored;
	return 0;
}

static int add_sparse_records(struct out *o, const struct entry *e, struct error *err)
{
	if (add_number(o, "GNU.sparse.major", 1, err) < 0 ||
		add_number(o, "GNU.sparse.minor", 0, err) < 0 ||
		add_record(o, "GNU.sparse.name", o->path.data, o->path.len, err) < 0)
		return -1;
	return add_number(o, "GNU.sparse.realsize", e->attr.size, err);
}

static int put_header(struct out *o, struct header *h, struct error *err)
{
	const unsigned char *byte = (const unsigned char *)h;
	unsigned sum = 0;

	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < SECTOR; i++)
		sum += byte[i];
	snprintf(h->checksum, sizeof(h->checksum), "%06o", sum);
	return put(o, h, sizeof(*h), err);
}

static int put_records(struct out *o, struct error *err)
{
	struct header h = {.type = 'x', .name = "PaxHeaders/entry", .mode = "0000644"};

	if (o->pax.len == 0)
		return 0;
	snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	snprintf(h.mtime, sizeof(h.mtime), "%011o", 0);
	snprintf(h.size, sizeof(h.size), "%011zo", o->pax.len);
	if (put_header(o, &h, err) < 0 || put(o, o->pax.data, o->pax.len, err) < 0)
		return -1;
	return pad_to(o, SECTOR, err);
}

/*
 * "usr/bin" or, for a directory, "usr/bin/". Without "./", that the longest path is one for the
 * kernel that unpacks it.
 */
static int entry_path(const struct out *o, tree_node node, bool dir, struct buf *path,
	struct error *err)
{
	CLEANUP_BUF struct buf whole = BUF_INIT(0);

	buf_clear(path);
	if (node == o->root)
		return buf_add_str(path, "./", err);
	if (tree_path(o->t, node, &whole, err) < 0 ||
		buf_add_str(path, whole.data + o->root_len + 1, err) < 0)
		return -1;
	return dir ? buf_add_char(path, '/', err) : 0;
}

static char type_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return '0';
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	default:
		return 0;
	}
}

/* What the entry is, and its path, link and map in *o. */
static int start_entry(struct out *o, struct entry *e, struct error *err)
{
	tree_get(o->t, e->node, &e->attr);
	e->type = type_of(e->attr.mode);
	if (!e->type)
		return path_error(o, e->node, err, "it is of a kind that tar lacks");
	if (entry_path(o, e->node, e->type == '5', &o->path, err) < 0)
		return -1;
	buf_clear(&o->link);
	buf_clear(&o->pax);
	if (e->attr.nlink > 1 && e->type != '5' && o->first[e->attr.inode] != TREE_NONE) {
		e->type = '1';
		return entry_path(o, o->first[e->attr.inode], false, &o->link, err);
	}
	o->first[e->attr.inode] = e->node;
	if (e->type == '2')
		return buf_add_str(&o->link, e->attr.target, err);
	if (e->type != '0')
		return 0;
	e->size = e->attr.size;
	e->sparse = has_holes(o, e);
	return e->sparse ? make_map(o, e, err) : 0;
}

/* A hard link shows its names alone, its inode has the rest; all else has all. */
static int fill_header(struct out *o, const struct entry *e, struct header *h, struct error *err)
{
	const struct tree_attr *a = &e->attr;

	/* A sparse file's name has a record of its own. */
	if (set_text(o, h->name, e->sparse ? NULL : "path", &o->path, err) < 0 ||
		set_text(o, h->link, "linkpath", &o->link, err) < 0 ||
		set_number(o, h->mode, sizeof(h->mode), "mode", a->mode & 07777, err) < 0 ||
		set_number(o, h->uid, sizeof(h->uid), "uid", a->uid, err) < 0 ||
		set_number(o, h->gid, sizeof(h->gid), "gid", a->gid, err) < 0 ||
		set_number(o, h->size, sizeof(h->size), "size", e->size, err) < 0 ||
		set_mtime(o, h, a, err) < 0)
		return -1;
	if ((e->type == '3' || e->type == '4') &&
		(set_number(o, h->major, sizeof(h->major), "SCHILY.devmajor", a->rdev_major, err) <
				0 ||
			set_number(o, h->minor, sizeof(h->minor), "SCHILY.devminor", a->rdev_minor,
				err) < 0))
		return -1;
	if (e->sparse && add_sparse_records(o, e, err) < 0)
		return -1;
	return e->type == '1' ? 0 : add_xattrs(o, e->node, err);
}

static int put_sparse(struct out *o, const struct entry *e, struct error *err)
{
	struct run run = {0, 0};

	if (put(o, o->map.data, o->map.len, err) < 0 || pad_to(o, SECTOR, err) < 0)
		return -1;
	for (uint32_t i = 0; run = (struct run){0, 0}, next_run(o, e, &i, &run);)
		if (put_content(o, e->node, run.off, run.len, err) < 0)
			return -1;
	return 0;
}

static int put_entry(struct out *o, tree_node node, struct error *err)
{
	struct entry e = {.node = node};
	struct header h = {.type = 0};

	if (start_entry(o, &e, err) < 0 || fill_header(o, &e, &h, err) < 0)
		return -1;
	h.type = e.type;
	if (put_records(o, err) < 0 || put_header(o, &h, err) < 0)
		return -1;
	if (e.sparse)
		return put_sparse(o, &e, err);
	return e.type == '0' ? put_content(o, node, 0, e.attr.size, err) : 0;
}

tree_node tree_tar_next(const struct tree *t, tree_node root, tree_node node)
{
	tree_node next = TREE_NONE;
	struct tree_attr attr;

	tree_get(t, node, &attr);
	if (S_ISDIR(attr.mode) && (node == root || !attr.mount_point))
		next = tree_first_child(t, node);
	while (next == TREE_NONE && node != root) {
		next = tree_next_sibling(t, node);
		node = tree_parent(t, node);
	}
	return next;
}

static int put_all(struct out *o, struct error *err)
{
	static const char end[2 * SECTOR];

	if (o->root != TREE_ROOT) {
		if (tree_path(o->t, o->root, &o->path, err) < 0)
			return -1;
		o->root_len = o->path.len;
	}
	for (tree_node n = o->root; n != TREE_NONE; n = tree_tar_next(o->t, o->root, n))
		if (put_entry(o, n, err) < 0)
			return -1;
	if (put(o, end, sizeof(end), err) < 0 || pad_to(o, RECORD, err) < 0)
		return -1;
	return flush(o, err);
}

int tree_tar_write(const struct tree *t, tree_node root, int fd, const char *name,
	bool (*cancelled)(void), struct error *err)
{
	struct out o = {.t = t, .fd = fd, .name = name, .cancelled = cancelled, .root = root};
	size_t nr = MAX(tree_nr_inodes(t), 1);
	int ret = -1;

	buf_init(&o.pax, PAX_MAX);
	buf_init(&o.map, 1 << 30);
	o.first = malloc(nr * sizeof(*o.first));
	o.block = malloc(BLOCK);
	if (!o.first || !o.block) {
		error_nomem(err, "a tar archive");
	} else {
		memset(o.first, 0xff, nr * sizeof(*o.first)); /* TREE_NONE */
		ret = put_all(&o, err);
	}
	free(o.first);
	free(o.block);
	buf_release(&o.path);
	buf_release(&o.link);
	buf_release(&o.pax);
	buf_release(&o.map);
	return ret;
}
