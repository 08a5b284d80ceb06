/* SPDX-License-Identifier: Apache-2.0 */
/* See mounted.h. */
#include "tests/lib/mounted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/num.h"

#define CHECK(path, condition) \
	((condition) ? (void)0 : fail(__LINE__, path, #condition))

static void __attribute__((noreturn)) fail(int line, const char *path, const char *what)
{
	fprintf(stderr, "mounted.c:%d: '%s': not true: %s\n", line, path, what);
	abort();
}

bool mounted_at(const char *image, const char *type, const char *dir)
{
	char line[1500];

	snprintf(line, sizeof(line), "mkdir -p '%s' && mount -t %s -o loop,ro '%s' '%s' 2>/dev/null",
		dir, type, image, dir);
	return geteuid() == 0 && system(line) == 0;
}

void mounted_end(const char *dir)
{
	char line[700];

	snprintf(line, sizeof(line), "umount '%s'", dir);
	CHECK(dir, system(line) == 0);
}

struct compare {
	const struct tree *t;
	ino_t *inos; /* of the mounted files, by the tree's inodes */
	unsigned nr;
};

static void compare_range(const struct compare *c, const char *path, int fd, tree_node node,
	uint64_t off, uint64_t len)
{
	enum { STEP = 1 << 20 };
	static uint8_t want[STEP], have[STEP];
	struct error err = ERROR_INIT;

	while (len > 0) {
		size_t n = MIN(len, (uint64_t)STEP);

		CHECK(path, pread(fd, have, n, (off_t)off) == (ssize_t)n);
		CHECK(path, tree_pread(c->t, node, want, n, off, &err) == 0);
		CHECK(path, memcmp(want, have, n) == 0);
		off += n;
		len -= n;
	}
}

static void compare_content(const struct compare *c, const char *path, tree_node node, uint64_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(path, fd >= 0);
	if (size <= 16 * MIB)
		compare_range(c, path, fd, node, 0, size);
	for (uint32_t i = 0; size > 16 * MIB && i < tree_nr_pieces(c->t, node); i++) {
		struct tree_piece p;
		uint64_t from, end;

		tree_piece(c->t, node, i, &p);
		from = p.off > 8192 ? p.off - 8192 : 0;
		end = MIN(size, p.off + p.len + 8192);
		compare_range(c, path, fd, node, from, end - from);
	}
	close(fd);
}

static void compare_xattrs(const struct compare *c, const char *path, tree_node node)
{
	static char names[65536], value[65536];
	ssize_t len = llistxattr(path, names, sizeof(names));
	unsigned listed = 0, nr = 0;
	const char *name;
	const void *want;
	size_t want_len;

	/* squashfs without a table of attributes says that it knows none. */
	if (len < 0 && errno == ENOTSUP)
		len = 0;
	CHECK(path, len >= 0);
	for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1)
		listed++;
	for (; tree_xattr(c->t, node, nr, &name, &want, &want_len); nr++) {
		CHECK(path, lgetxattr(path, name, value, sizeof(value)) == (ssize_t)want_len);
		CHECK(path, memcmp(value, want, want_len) == 0);
	}
	CHECK(path, listed == nr);
}

static void compare_node(struct compare *c, const char *path, tree_node node)
{
	struct tree_attr a;
	struct stat st;

	tree_get(c->t, node, &a);
	CHECK(path, lstat(path, &st) == 0);
	CHECK(path, st.st_mode == a.mode);
	CHECK(path, st.st_uid == a.uid && st.st_gid == a.gid);
	CHECK(path, st.st_mtime == a.mtime);
	CHECK(path, S_ISDIR(a.mode) || st.st_nlink == a.nlink);
	CHECK(path, !c->inos[a.inode] || c->inos[a.inode] == st.st_ino);
	c->inos[a.inode] = st.st_ino;
	if (S_ISCHR(a.mode) || S_ISBLK(a.mode))
		CHECK(path, st.st_rdev == makedev(a.rdev_major, a.rdev_minor));
	compare_xattrs(c, path, node);
	if (S_ISLNK(a.mode)) {
		char target[TREE_SYMLINK_MAX + 1];

		CHECK(path, readlink(path, target, sizeof(target)) == (ssize_t)a.size);
		CHECK(path, memcmp(target, a.target, a.size) == 0);
	}
	if (S_ISREG(a.mode)) {
		CHECK(path, (uint64_t)st.st_size == a.size);
		compare_content(c, path, node, a.size);
	}
}

static unsigned count_names(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	unsigned nr = 0;

	CHECK(path, dir != NULL);
	while ((e = readdir(dir)))
		nr += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		      strcmp(e->d_name, "lost+found");
	closedir(dir);
	return nr;
}

static void compare_dir(struct compare *c, const char *path, tree_node dir)
{
	unsigned nr = 0;
	size_t len;

	for (tree_node n = tree_first_child(c->t, dir); n != TREE_NONE;
		n = tree_next_sibling(c->t, n)) {
		char below[5000];
		struct tree_attr a;

		snprintf(below, sizeof(below), "%s/%s", path, tree_name(c->t, n, &len));
		compare_node(c, below, n);
		tree_get(c->t, n, &a);
		if (S_ISDIR(a.mode))
			compare_dir(c, below, n);
		nr++;
	}
	CHECK(path, count_names(path) == nr);
	c->nr += nr;
}

unsigned mounted_compare(const char *dir, const struct tree *t, tree_node root)
{
	struct compare c = {t, calloc(tree_nr_inodes(t) + 1, sizeof(ino_t)), 0};

	CHECK(dir, c.inos != NULL);
	compare_node(&c, dir, root);
	compare_dir(&c, dir, root);
	free(c.inos);
	return c.nr;
}
