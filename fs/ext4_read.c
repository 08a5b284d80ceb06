/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of an ext2/3/4 file system by path. libext2fs finds and checks superblock, inodes and the
 * blocks of a file; folders are read here, a block at a time, and paths are walked here, because
 * both must end soon whatever is on the device: the number of blocks that one reader looks up is
 * limited, and so are links and the depth of extent trees.
 *
 * Folders with an index are read as plain ones: their index blocks look like empty entries.
 * Source: kernel documentation, filesystems/ext4 (directory entries, inline data, extent tree).
 */
#include "fs/reader.h"

#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext2fs.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "fs/ext4_channel.h"

enum {
	LINKS_MAX = 40,
	TARGET_MAX = 4095,
	PATH_ROOM = 16384,
	BLOCKS_MAX = 16384, /* that one reader looks up */
	DEPTH_MAX = 5,      /* of an extent tree: the kernel's limit */
	INLINE_HEAD = 60,   /* of inline data: in i_block; the rest is an extended attribute */
};

struct ext4_reader {
	struct reader r; /* first */
	struct ext4_channel channel;
	ext2_filsys fs;
	unsigned blocks;
	uint8_t *block;  /* one block; owned */
};

struct node {
	ext2_ino_t ino; /* 0: there is none */
	struct ext2_inode inode;
};

static struct ext4_reader *from_reader(struct reader *r)
{
	return (struct ext4_reader *)r;
}

/* An error of libext2fs, or the device's that was behind it. */
static int ext_error(struct ext4_reader *e, errcode_t code, struct error *err, const char *what)
{
	if (e->channel.err.kind != ERROR_NONE) {
		if (err)
			*err = e->channel.err;
		return -1;
	}
	if (code == EXT2_ET_NO_MEMORY)
		return error_nomem(err, what);
	return error_set(err, ERROR_INPUT, 0, "%s: %s", what, error_message(code));
}

static int get_inode(struct ext4_reader *e, ext2_ino_t ino, struct node *out, struct error *err)
{
	errcode_t r = ext2fs_read_inode(e->fs, ino, &out->inode);

	if (r)
		return ext_error(e, r, err, "an inode of the file system");
	if ((out->inode.i_flags & EXT4_EXTENTS_FL) &&
		num_get_le16((const uint8_t *)out->inode.i_block + 6) > DEPTH_MAX)
		return error_set(err, ERROR_INPUT, 0, "inode %u has an extent tree of %u levels", ino,
			num_get_le16((const uint8_t *)out->inode.i_block + 6));
	out->ino = ino;
	return 0;
}

/* Block number `at` of the file into e->block. */
static int get_block(struct ext4_reader *e, struct node *n, uint64_t at, struct error *err)
{
	blk64_t physical = 0;
	int flags = 0;
	errcode_t r;

	if (++e->blocks > BLOCKS_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"looking into the file system takes more than %d blocks", BLOCKS_MAX);
	memset(e->block, 0, e->fs->blocksize);
	r = ext2fs_bmap2(e->fs, n->ino, &n->inode, NULL, 0, at, &flags, &physical);
	if (r)
		return ext_error(e, r, err, "the blocks of a file");
	if (!physical || (flags & BMAP_RET_UNINIT))
		return 0;
	r = io_channel_read_blk64(e->fs->io, physical, 1, e->block);
	return r ? ext_error(e, r, err, "a block of a file") : 0;
}

/* Content that is kept in the inode; the caller's to free. */
static uint8_t *get_inline(struct ext4_reader *e, struct node *n, size_t *len, struct error *err)
{
	CLEANUP_FREE uint8_t *data = NULL;
	errcode_t r = ext2fs_inline_data_size(e->fs, n->ino, len);

	if (r == 0) {
		data = calloc(1, *len + 1);
		if (!data)
			return error_nomem(err, "the content of an inode"), NULL;
		r = ext2fs_inline_data_get(e->fs, n->ino, &n->inode, data, len);
	}
	if (r)
		return ext_error(e, r, err, "the content of an inode"), NULL;
	return steal_ptr(&data);
}

static int read_inline(struct ext4_reader *e, struct node *n, uint64_t off, size_t max,
	struct buf *out, struct error *err)
{
	size_t len;
	CLEANUP_FREE uint8_t *data = get_inline(e, n, &len, err);

	if (!data)
		return -1;
	len = MIN(len, EXT2_I_SIZE(&n->inode));
	return off < len ? buf_add(out, data + off, MIN(max, len - off), err) : 0;
}

/* Up to max bytes of the node's content. */
static int read_node(struct ext4_reader *e, struct node *n, uint64_t off, size_t max,
	struct buf *out, struct error *err)
{
	uint64_t size = EXT2_I_SIZE(&n->inode), end;
	const unsigned block = e->fs->blocksize;

	if (n->inode.i_flags & EXT4_INLINE_DATA_FL)
		return read_inline(e, n, off, max, out, err);
	end = off >= size ? off : off + MIN(max, size - off);
	while (off < end) {
		size_t skip = off % block, step = MIN(block - skip, end - off);

		if (get_block(e, n, off / block, err) < 0 ||
			buf_add(out, e->block + skip, step, err) < 0)
			return -1;
		off += step;
	}
	return 0;
}

/* What is done with each name; 1 ends the walk. */
typedef int (*entry_fn)(void *arg, const char *name, ext2_ino_t ino, struct error *err);

/* The entries in a stretch of a folder. */
static int walk_entries(struct ext4_reader *e, uint8_t *data, size_t len, entry_fn each, void *arg,
	struct error *err)
{
	for (size_t at = 0; len - at >= 8;) {
		struct ext2_dir_entry *entry = (struct ext2_dir_entry *)(void *)(data + at);
		size_t name_len = (unsigned)ext2fs_dirent_name_len(entry);
		unsigned rec_len;
		char name[EXT2_NAME_LEN + 1];
		int r;

		if (ext2fs_get_rec_len(e->fs, entry, &rec_len) || rec_len < 8 || rec_len % 4 ||
			rec_len > len - at || name_len > rec_len - 8)
			return error_set(err, ERROR_INPUT, 0, "a folder has a damaged entry");
		if (entry->inode && name_len) {
			memcpy(name, data + at + 8, name_len);
			name[name_len] = '\0';
			r = each(arg, name, entry->inode, err);
			if (r)
				return r;
		}
		at += rec_len;
	}
	return 0;
}

/* Inline folders: the parent's number, entries in i_block, more entries in the attribute. */
static int walk_inline(struct ext4_reader *e, struct node *dir, entry_fn each, void *arg,
	struct error *err)
{
	size_t len;
	CLEANUP_FREE uint8_t *data = get_inline(e, dir, &len, err);
	int r;

	if (!data)
		return -1;
	r = len >= INLINE_HEAD ? each(arg, "..", num_get_le32(data), err) : 0;
	if (r == 0 && len >= INLINE_HEAD)
		r = walk_entries(e, data + 4, INLINE_HEAD - 4, each, arg, err);
	if (r == 0 && len > INLINE_HEAD)
		r = walk_entries(e, data + INLINE_HEAD, len - INLINE_HEAD, each, arg, err);
	return r;
}

static int walk_folder(struct ext4_reader *e, struct node *dir, entry_fn each, void *arg,
	struct error *err)
{
	CLEANUP_FREE uint8_t *copy = NULL;
	const unsigned block = e->fs->blocksize;
	uint64_t nr = EXT2_I_SIZE(&dir->inode) / block;

	if (dir->inode.i_flags & EXT4_INLINE_DATA_FL)
		return walk_inline(e, dir, each, arg, err);
	/* each() may read other blocks. */
	copy = malloc(block);
	if (!copy)
		return error_nomem(err, "a block of a folder");
	for (uint64_t at = 0; at < nr; at++) {
		int r;

		if (get_block(e, dir, at, err) < 0)
			return -1;
		memcpy(copy, e->block, block);
		/* A hole: nothing is there. */
		if (!num_get_le32(copy) && !num_get_le16(copy + 4))
			continue;
		r = walk_entries(e, copy, block, each, arg, err);
		if (r)
			return r;
	}
	return 0;
}

struct search {
	const char *name;
	size_t len;
	ext2_ino_t ino;
};

static int compare_name(void *arg, const char *name, ext2_ino_t ino, struct error *err)
{
	struct search *s = arg;

	(void)err;
	if (strlen(name) != s->len || memcmp(name, s->name, s->len) != 0)
		return 0;
	s->ino = ino;
	return 1;
}

static int read_target(struct ext4_reader *e, struct node *n, struct buf *out, struct error *err)
{
	uint64_t size = EXT2_I_SIZE(&n->inode);

	if (size == 0 || size > TARGET_MAX)
		return error_set(err, ERROR_INPUT, 0, "a symbolic link has a target of %llu bytes",
			(unsigned long long)size);
	if (!(n->inode.i_flags & EXT4_INLINE_DATA_FL) && ext2fs_is_fast_symlink(&n->inode))
		return buf_add(out, n->inode.i_block, MIN(size, sizeof(n->inode.i_block)), err);
	return read_node(e, n, 0, size, out, err);
}

/* A path being walked: what is left of it, and where it has come to. */
struct walk {
	struct buf rest;
	size_t at;
	unsigned links;
	struct node node;
};

/* The link's target goes before what is left. */
static int follow(struct ext4_reader *e, struct walk *w, struct node *link, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(PATH_ROOM);

	if (++w->links > LINKS_MAX)
		return error_set(err, ERROR_INPUT, 0, "a path has more than %d symbolic links", LINKS_MAX);
	if (read_target(e, link, &text, err) < 0 || buf_add_char(&text, '/', err) < 0 ||
		buf_add_str(&text, buf_str(&w->rest) + w->at, err) < 0)
		return -1;
	buf_clear(&w->rest);
	w->at = 0;
	if (buf_add(&w->rest, text.data, text.len, err) < 0)
		return -1;
	return text.data[0] == '/' ? get_inode(e, EXT2_ROOT_INO, &w->node, err) : 0;
}

/* One component; w->node.ino is 0 when it is not there. */
static int step(struct ext4_reader *e, struct walk *w, struct error *err)
{
	const char *name = buf_str(&w->rest) + w->at;
	struct search s = {name, strcspn(name, "/"), 0};
	struct node next;

	w->at += s.len;
	if (!LINUX_S_ISDIR(w->node.inode.i_mode)) {
		w->node.ino = 0;
		return 0;
	}
	/* Inline folders have no entry for themselves. */
	if (s.len == 1 && name[0] == '.')
		return 0;
	if (walk_folder(e, &w->node, compare_name, &s, err) < 0)
		return -1;
	if (!s.ino) {
		w->node.ino = 0;
		return 0;
	}
	if (get_inode(e, s.ino, &next, err) < 0)
		return -1;
	if (LINUX_S_ISLNK(next.inode.i_mode))
		return follow(e, w, &next, err);
	w->node = next;
	return 0;
}

/* out->ino is 0 when there is nothing. */
static int find(struct ext4_reader *e, const char *path, struct node *out, struct error *err)
{
	struct walk w = {.rest = BUF_INIT(PATH_ROOM)};
	int ret = buf_add_str(&w.rest, path, err);

	if (ret == 0)
		ret = get_inode(e, EXT2_ROOT_INO, &w.node, err);
	while (ret == 0 && w.node.ino) {
		w.at += strspn(buf_str(&w.rest) + w.at, "/");
		if (!buf_str(&w.rest)[w.at])
			break;
		ret = step(e, &w, err);
	}
	*out = w.node;
	buf_release(&w.rest);
	return ret;
}

static int ext4_stat(struct reader *r, const char *path, enum reader_kind *kind, uint64_t *size,
	struct error *err)
{
	struct node n;

	if (find(from_reader(r), path, &n, err) < 0)
		return -1;
	*size = 0;
	*kind = READER_NONE;
	if (!n.ino)
		return 0;
	*kind = LINUX_S_ISREG(n.inode.i_mode) ? READER_FILE :
		LINUX_S_ISDIR(n.inode.i_mode) ? READER_FOLDER : READER_OTHER;
	if (*kind == READER_FILE)
		*size = EXT2_I_SIZE(&n.inode);
	return 0;
}

static int ext4_read(struct reader *r, const char *path, uint64_t off, size_t max, struct buf *out,
	struct error *err)
{
	struct node n;

	if (find(from_reader(r), path, &n, err) < 0)
		return -1;
	if (!n.ino || !LINUX_S_ISREG(n.inode.i_mode))
		return 0;
	return read_node(from_reader(r), &n, off, max, out, err);
}

struct listing {
	reader_name_fn each;
	void *arg;
};

static int list_name(void *arg, const char *name, ext2_ino_t ino, struct error *err)
{
	struct listing *l = arg;

	(void)ino;
	if (!strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/'))
		return 0;
	return l->each(l->arg, name, err);
}

static int ext4_list(struct reader *r, const char *path, reader_name_fn each, void *arg,
	struct error *err)
{
	struct listing l = {each, arg};
	struct node n;

	if (find(from_reader(r), path, &n, err) < 0)
		return -1;
	if (!n.ino || !LINUX_S_ISDIR(n.inode.i_mode))
		return 0;
	return walk_folder(from_reader(r), &n, list_name, &l, err) < 0 ? -1 : 0;
}

static void ext4_close(struct reader *r)
{
	struct ext4_reader *e = from_reader(r);

	if (e->fs)
		ext2fs_free(e->fs);
	free(e->block);
	free(e);
}

static const struct reader_ops ops = {
	.name = "ext4",
	.stat = ext4_stat,
	.read = ext4_read,
	.list = ext4_list,
	.close = ext4_close,
};

struct reader *ext4_reader_open(struct dev *dev, struct error *err)
{
	struct ext4_reader *e = calloc(1, sizeof(*e));
	errcode_t r;

	if (!e)
		return error_nomem(err, "a reader of files"), NULL;
	e->r.ops = &ops;
	e->channel.dev = dev;
	r = ext4_channel_open(&e->channel, &e->fs);
	if (r == 0)
		e->block = malloc(e->fs->blocksize);
	if (r == 0 && e->block)
		return &e->r;
	if (r)
		ext_error(e, r, err, "the superblock");
	else
		error_nomem(err, "a block of a file system");
	ext4_close(&e->r);
	return NULL;
}
