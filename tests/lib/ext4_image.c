/* SPDX-License-Identifier: Apache-2.0 */
/* See ext4_image.h. */
#include "tests/lib/ext4_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include "base/disk.h"
#include "base/num.h"

/*
 * Fuzz programs are linked with this folder too, without cmocka: so a failed check ends the
 * program.
 */
static void fail_msg(const char *fmt, ...) __attribute__((noreturn)) PRINTF_LIKE(1, 2);

static void fail_msg(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

#define CHECK(condition) \
	((condition) ? (void)0 : fail_msg("%s:%d: not true: %s", __FILE__, __LINE__, #condition))

/* ---- contents ---- */

uint8_t pattern_byte(uint64_t id, uint64_t off)
{
	return (uint8_t)((off * 31 + id * 17 + (off >> 9) * 7) | 1);
}

static int pattern_pread(
	struct source *src, uint64_t id, void *buf, size_t len, uint64_t off, struct error *err)
{
	uint8_t *out = buf;

	(void)src, (void)err;
	for (size_t i = 0; i < len; i++)
		out[i] = pattern_byte(id, off + i);
	return 0;
}

static void pattern_free(struct source *src)
{
	free(src);
}

struct source *pattern_source_new(void)
{
	static const struct source_ops ops = {
		.name = "pattern", .pread = pattern_pread, .free = pattern_free};
	struct source *src = calloc(1, sizeof(*src));

	CHECK(src != NULL);
	src->ops = &ops;
	return src;
}

/* ---- trees ---- */

static struct error err;

void test_tree_init(struct test_tree *tt)
{
	tt->t = tree_new(NULL, &err);
	CHECK(tt->t != NULL);
	tt->src = pattern_source_new();
	tt->next_id = 1;
	CHECK((tree_take_source(tt->t, tt->src, &err)) == 0);
}

void test_tree_release(struct test_tree *tt)
{
	tree_free(tt->t);
}

static tree_node add(struct test_tree *tt, tree_node dir, const char *name, struct tree_attr *attr)
{
	tree_node node;

	attr->mtime = 1700000000 + (int64_t)strlen(name) * 86400 + name[0];
	attr->mtime_ns = (uint32_t)name[0] * 1000003;
	if (tree_add(tt->t, dir, name, strlen(name), attr, &node, &err) < 0)
		fail_msg("%s", err.text);
	return node;
}

tree_node test_tree_add(struct test_tree *tt, tree_node dir, const char *name, uint32_t mode)
{
	struct tree_attr attr = {.mode = mode, .rdev_major = 1, .rdev_minor = 3};

	return add(tt, dir, name, &attr);
}

tree_node test_tree_symlink(
	struct test_tree *tt, tree_node dir, const char *name, const char *target)
{
	struct tree_attr attr = {.mode = S_IFLNK | 0777, .target = target, .size = strlen(target)};

	return add(tt, dir, name, &attr);
}

tree_node test_tree_sparse(struct test_tree *tt, tree_node dir, const char *name, uint64_t size,
	uint32_t nr, uint64_t first, uint64_t len, uint64_t step)
{
	struct tree_attr attr = {.mode = S_IFREG | 0640, .size = size};
	tree_node node = add(tt, dir, name, &attr);

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t off = first + i * step;
		struct tree_piece piece = {off, len, tt->src, tt->next_id, off};

		if (tree_add_piece(tt->t, node, &piece, &err) < 0)
			fail_msg("%s", err.text);
	}
	tt->next_id++;
	return node;
}

tree_node test_tree_file(struct test_tree *tt, tree_node dir, const char *name, uint64_t len)
{
	return test_tree_sparse(tt, dir, name, len, len > 0, 0, len, 0);
}

void test_tree_xattr(
	struct test_tree *tt, tree_node node, const char *name, const void *value, size_t len)
{
	if (tree_set_xattr(tt->t, node, name, value, len, &err) < 0)
		fail_msg("%s", err.text);
}

void test_tree_finish(struct test_tree *tt)
{
	CHECK((tree_finish(tt->t, INT64_MAX, &err)) == 0);
}

struct ext4_opts test_ext4_opts(uint64_t size)
{
	struct ext4_opts opts = {.size = size, .label = "test", .epoch = 1735689600};

	for (uint8_t i = 0; i < 16; i++) {
		opts.uuid[i] = (uint8_t)(i * 3 + 1);
		opts.hash_seed[i] = (uint8_t)(i * 5 + 7);
	}
	return opts;
}

struct dev *test_ext4_write(
	const struct test_tree *tt, tree_node root, const struct ext4_opts *opts)
{
	struct dev *dev = disk_new(opts->size, NULL, &err);

	CHECK(dev != NULL);
	if (ext4_write(dev, tt->t, root, opts, &err) < 0)
		fail_msg("%s", err.text);
	return dev;
}

/* ---- images ---- */

static void copy_range(struct dev *dev, int fd, uint64_t off, uint64_t len)
{
	static uint8_t buf[1 << 20];

	while (len) {
		size_t n = (size_t)MIN(len, (uint64_t)sizeof(buf));

		CHECK((dev_pread(dev, buf, n, off, &err)) == 0);
		CHECK(pwrite(fd, buf, n, (off_t)off) == (ssize_t)n);
		off += n;
		len -= n;
	}
}

void image_dump(struct dev *dev, const char *path)
{
	struct extent_list list = EXTENT_LIST_INIT;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0);
	CHECK(ftruncate(fd, (off_t)dev->size) == 0);
	CHECK((dev_extents(dev, 0, dev->size, &list, &err)) == 0);
	for (size_t i = 0; i < list.nr; i++) {
		if (list.items[i].kind == EXTENT_DATA)
			copy_range(dev, fd, list.items[i].off, list.items[i].len);
	}
	extent_list_release(&list);
	CHECK(close(fd) == 0);
}

void image_fsck(const char *path)
{
	char line[1200];

	/* It says only its version, the passes and the summary when all is well. */
	snprintf(line, sizeof(line),
		"o=$(e2fsck -fn '%s' 2>&1) && ! echo \"$o\" | grep -vE "
		"'^(e2fsck 1|Pass [1-5]: |[^ ]*: [0-9]+/[0-9]+ files )' || { echo \"$o\"; exit 1; "
		"}",
		path);
	if (system(line) != 0)
		fail_msg("e2fsck is not content");
}

static ext2_filsys open_image(const char *path)
{
	ext2_filsys fs;

	CHECK((ext2fs_open(path, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs)) == 0);
	return fs;
}

/* ---- comparison ---- */

struct compare {
	const struct test_tree *tt;
	ext2_filsys fs;
	const char *path;
	ext2_ino_t ino;
	struct ext2_inode_large inode;
	struct tree_attr attr;
	tree_node node;
};

static void compare_content(struct compare *c)
{
	static uint8_t have[1 << 16], want[1 << 16];
	uint64_t size = MIN(c->attr.size, 4 * MIB);
	struct tree_piece p = {.len = 0};
	uint32_t piece = 0;
	ext2_file_t file;
	unsigned int got;

	CHECK((ext2fs_file_open(c->fs, c->ino, 0, &file)) == 0);
	for (uint64_t off = 0; off < size; off += sizeof(have)) {
		size_t n = (size_t)MIN(size - off, (uint64_t)sizeof(have));

		for (size_t i = 0; i < n; i++) {
			while (off + i >= p.off + p.len &&
				piece < tree_nr_pieces(c->tt->t, c->node))
				tree_piece(c->tt->t, c->node, piece++, &p);
			want[i] = off + i >= p.off && off + i < p.off + p.len
					  ? pattern_byte(p.id, p.src_off + (off + i - p.off))
					  : 0;
		}
		CHECK((ext2fs_file_read(file, have, (unsigned int)n, &got)) == 0);
		CHECK(got == n);
		if (memcmp(have, want, n) != 0)
			fail_msg("%s differs near byte %llu", c->path, (unsigned long long)off);
	}
	CHECK(ext2fs_file_close(file) == 0);
}

static void compare_target(struct compare *c)
{
	char buf[4096 + 1] = "";
	ext2_file_t file;
	unsigned int got;

	if (c->attr.size < 60) {
		CHECK(memcmp(c->inode.i_block, c->attr.target, c->attr.size) == 0);
		return;
	}
	CHECK((ext2fs_file_open(c->fs, c->ino, 0, &file)) == 0);
	CHECK((ext2fs_file_read(file, buf, sizeof(buf) - 1, &got)) == 0);
	CHECK(strcmp(buf, c->attr.target) == 0);
	CHECK(ext2fs_file_close(file) == 0);
}

static void compare_device(struct compare *c)
{
	uint32_t dev = c->inode.i_block[0], major = dev >> 8 & 0xff, minor = dev & 0xff;

	if (!dev) {
		dev = c->inode.i_block[1];
		major = dev >> 8 & 0xfff;
		minor = (dev & 0xff) | (dev >> 12 & 0xfff00);
	}
	CHECK(major == c->attr.rdev_major);
	CHECK(minor == c->attr.rdev_minor);
}

static int64_t seconds(uint32_t low, uint32_t extra)
{
	return (int32_t)low + ((int64_t)(extra & 3) << 32);
}

static void compare_inode(struct compare *c)
{
	struct ext2_inode_large *i = &c->inode;

	CHECK(i->i_mode == c->attr.mode);
	CHECK((i->i_uid | (uint32_t)i->osd2.linux2.l_i_uid_high << 16) == c->attr.uid);
	CHECK((i->i_gid | (uint32_t)i->osd2.linux2.l_i_gid_high << 16) == c->attr.gid);
	CHECK(seconds(i->i_mtime, i->i_mtime_extra) == c->attr.mtime);
	CHECK(i->i_mtime_extra >> 2 == c->attr.mtime_ns);
	CHECK(i->i_mtime == i->i_atime);
	CHECK(i->i_mtime == i->i_ctime);
	CHECK(i->i_mtime == i->i_crtime);
	if (!S_ISDIR(c->attr.mode)) {
		CHECK(i->i_links_count == c->attr.nlink);
		CHECK(EXT2_I_SIZE(i) ==
			(S_ISREG(c->attr.mode) || S_ISLNK(c->attr.mode) ? c->attr.size : 0));
	}
}

/* libext2fs shows 0 and the kernel -1 as the id of ACL entries that have none. */
static void compare_value(const char *name, const uint8_t *have, const uint8_t *want, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool no_id = strncmp(name, "system.posix_acl_", 17) == 0 && i >= 4 &&
			     (i - 4) % 8 >= 4 && num_get_le32(want + i - (i - 4) % 4) == UINT32_MAX;

		CHECK(have[i] == (no_id ? 0 : want[i]));
	}
}

static void compare_xattrs(struct compare *c)
{
	struct ext2_xattr_handle *h;
	const char *name;
	const void *value;
	void *have;
	size_t len, have_len, count;
	uint32_t nr = 0;

	CHECK((ext2fs_xattrs_open(c->fs, c->ino, &h)) == 0);
	CHECK(ext2fs_xattrs_read(h) == 0);
	for (; tree_xattr(c->tt->t, c->node, nr, &name, &value, &len); nr++) {
		if (ext2fs_xattr_get(h, name, &have, &have_len))
			fail_msg("%s has no %s", c->path, name);
		CHECK(have_len == len);
		compare_value(name, have, value, len);
		ext2fs_free_mem(&have);
	}
	CHECK((ext2fs_xattrs_count(h, &count)) == 0);
	CHECK(count == nr);
	CHECK((ext2fs_xattrs_close(&h)) == 0);
}

static void compare_node(struct compare *c)
{
	tree_get(c->tt->t, c->node, &c->attr);
	if (ext2fs_namei(c->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, c->path, &c->ino))
		fail_msg("'%s' is missing", c->path);
	CHECK((ext2fs_read_inode_full(
		      c->fs, c->ino, (struct ext2_inode *)&c->inode, sizeof(c->inode))) == 0);
	compare_inode(c);
	compare_xattrs(c);
	if (S_ISREG(c->attr.mode))
		compare_content(c);
	if (S_ISLNK(c->attr.mode))
		compare_target(c);
	if (S_ISCHR(c->attr.mode) || S_ISBLK(c->attr.mode))
		compare_device(c);
}

static unsigned int compare_below(struct compare *c, tree_node dir, const char *path)
{
	struct tree_attr attr;
	char child[TREE_PATH_MAX];
	unsigned int nr = 0;
	size_t len;

	tree_get(c->tt->t, dir, &attr);
	if (attr.mount_point && path[1])
		return 0;
	for (tree_node n = tree_first_child(c->tt->t, dir); n != TREE_NONE;
		n = tree_next_sibling(c->tt->t, n)) {
		snprintf(child, sizeof(child), "%s%s%s", path, path[1] ? "/" : "",
			tree_name(c->tt->t, n, &len));
		c->node = n;
		c->path = child;
		compare_node(c);
		nr++;
		if (S_ISDIR(c->attr.mode))
			nr += compare_below(c, n, child);
	}
	return nr;
}

static int count_entry(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset,
	int blocksize, char *buf, void *arg)
{
	(void)dir, (void)dirent, (void)offset, (void)blocksize, (void)buf;
	if (entry == DIRENT_OTHER_FILE)
		++*(unsigned int *)arg;
	return 0;
}

/* Names in all directories of the image but lost+found. */
static unsigned int count_names(ext2_filsys fs)
{
	struct ext2_inode_large inode;
	unsigned int nr = 0;

	for (ext2_ino_t ino = EXT2_ROOT_INO; ino <= fs->super->s_inodes_count; ino++) {
		if (!ext2fs_test_inode_bitmap2(fs->inode_map, ino))
			continue;
		ext2fs_read_inode_full(fs, ino, (struct ext2_inode *)&inode, sizeof(inode));
		if (S_ISDIR(inode.i_mode))
			ext2fs_dir_iterate2(fs, ino, 0, NULL, count_entry, &nr);
	}
	return nr;
}

void image_compare(const char *path, const struct test_tree *tt, tree_node root)
{
	struct compare c = {.tt = tt, .fs = open_image(path), .path = "/", .node = root};
	bool own = tree_child(tt->t, root, "lost+found", 10) == TREE_NONE;
	unsigned int nr;

	CHECK(ext2fs_read_bitmaps(c.fs) == 0);
	compare_node(&c);
	nr = compare_below(&c, root, "/");
	CHECK(count_names(c.fs) == nr + own);
	ext2fs_close_free(&c.fs);
}

unsigned int image_count_names(const char *path)
{
	ext2_filsys fs = open_image(path);
	unsigned int nr;

	CHECK(ext2fs_read_bitmaps(fs) == 0);
	nr = count_names(fs);
	ext2fs_close_free(&fs);
	return nr;
}

void image_check_kinds(const char *path, struct dev *dev)
{
	ext2_filsys fs = open_image(path);
	struct extent_list list = EXTENT_LIST_INIT;
	size_t at = 0;

	CHECK(ext2fs_read_bitmaps(fs) == 0);
	CHECK((dev_extents(dev, 0, dev->size, &list, &err)) == 0);
	for (blk64_t b = fs->super->s_first_data_block; b < ext2fs_blocks_count(fs->super); b++) {
		uint64_t off = b * fs->blocksize, end = off + fs->blocksize;
		bool used = ext2fs_test_block_bitmap2(fs->block_map, b);

		while (list.items[at].off + list.items[at].len <= off)
			at++;
		for (size_t i = at; i < list.nr && list.items[i].off < end; i++) {
			if (used == (list.items[i].kind == EXTENT_UNUSED))
				fail_msg("block %llu is %s, and its extent is %s", (unsigned long long)b,
					used ? "used" : "free", used ? "unused" : "not");
		}
	}
	extent_list_release(&list);
	ext2fs_close_free(&fs);
}
