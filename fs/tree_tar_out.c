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
#include "fs/tree_tar_pax.h"

/* BLOCK is also the largest write; RECORD is what tar pads the end of an archive to. */
enum { SECTOR = 512, BLOCK = 256 << 10, RECORD = 10240, PAX_MAX = 64 << 20 };

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
	if (tar_pax_number(&o->pax, "GNU.sparse.major", 1, err) < 0 ||
		tar_pax_number(&o->pax, "GNU.sparse.minor", 0, err) < 0 ||
		tar_pax_add(&o->pax, "GNU.sparse.name", o->path.data, o->path.len, err) < 0)
		return -1;
	return tar_pax_number(&o->pax, "GNU.sparse.realsize", e->attr.size, err);
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
		return tar_path_error(o->t, e->node, "it is of a kind that tar lacks", err);
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
	if (tar_pax_text(&o->pax, h->name, e->sparse ? NULL : "path", &o->path, err) < 0 ||
		tar_pax_text(&o->pax, h->link, "linkpath", &o->link, err) < 0 ||
		tar_pax_field(&o->pax, h->mode, sizeof(h->mode), "mode", a->mode & 07777, err) < 0 ||
		tar_pax_field(&o->pax, h->uid, sizeof(h->uid), "uid", a->uid, err) < 0 ||
		tar_pax_field(&o->pax, h->gid, sizeof(h->gid), "gid", a->gid, err) < 0 ||
		tar_pax_field(&o->pax, h->size, sizeof(h->size), "size", e->size, err) < 0 ||
		tar_pax_mtime(&o->pax, h->mtime, a, err) < 0)
		return -1;
	if ((e->type == '3' || e->type == '4') &&
		(tar_pax_field(&o->pax, h->major, sizeof(h->major), "SCHILY.devmajor", a->rdev_major,
			 err) < 0 ||
			tar_pax_field(&o->pax, h->minor, sizeof(h->minor), "SCHILY.devminor",
				a->rdev_minor, err) < 0))
		return -1;
	if (e->sparse && add_sparse_records(o, e, err) < 0)
		return -1;
	return e->type == '1' ? 0 : tar_pax_xattrs(&o->pax, o->t, e->node, err);
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
