/* SPDX-License-Identifier: Apache-2.0 */
/* Folders as layers: real files made here, compared with what stat and read say about them. */
#include "fs/tree_dir.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/allocfail.h"
#include "tests/lib/treedump.h"

/* A folder for one test, which is the working directory while the test runs. */
static char top[256];

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(top, sizeof(top), "%s/amiwright-dir.XXXXXX", tmp ? tmp : "/tmp");
	return !mkdtemp(top) || chdir(top) || mkdir("src", 0755);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	(void)state;
	return chdir("/") || nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static struct tree *scan(const char *path, const struct tree_dir_opts *opts)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	if (tree_dir_add(t, TREE_ROOT, path, opts, &err))
		fail_msg("%s", err.text);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	return t;
}

static tree_node lookup(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	assert_int_not_equal(node, TREE_NONE);
	return node;
}

static void get(const struct tree *t, const char *path, struct tree_attr *attr)
{
	tree_get(t, lookup(t, path), attr);
}

static void expect_scan_error(enum error_kind kind, const char *text)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "src", NULL, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_non_null(strstr(err.text, text));
	tree_free(t);
}

static void test_attributes(void **state)
{
	const struct timespec times[2] = {{0, UTIME_OMIT}, {-100, 123456789}};
	char target[300];
	struct tree_attr a;
	struct stat st;
	struct tree *t;

	(void)state;
	write_file("src/file", "text");
	assert_int_equal(chmod("src/file", 06751), 0);
	assert_int_equal(utimensat(AT_FDCWD, "src/file", times, 0), 0);
	assert_int_equal(mkfifo("src/fifo", 0620), 0);
	memset(target, 't', sizeof(target));
	target[299] = '\0';
	assert_int_equal(symlink(target, "src/link"), 0);
	assert_int_equal(mkdir("src/dir", 0755), 0);
	assert_int_equal(chmod("src/dir", 01777), 0);
	assert_int_equal(chmod("src", 0711), 0);
	t = scan("src//", NULL);
	get(t, "file", &a);
	assert_int_equal(stat("src/file", &st), 0);
	assert_int_equal(a.mode, st.st_mode);
	assert_int_equal(a.uid, st.st_uid);
	assert_int_equal(a.gid, st.st_gid);
	assert_int_equal(a.size, 4);
	assert_true(a.mtime == st.st_mtim.tv_sec && a.mtime_ns == st.st_mtim.tv_nsec);
	get(t, "fifo", &a);
	assert_true(S_ISFIFO(a.mode));
	get(t, "link", &a);
	assert_true(S_ISLNK(a.mode) && a.size == 299);
	assert_string_equal(a.target, target);
	get(t, "dir", &a);
	assert_int_equal(a.mode, S_IFDIR | 01777);
	get(t, "/", &a);
	assert_int_equal(a.mode, S_IFDIR | 0711);
	assert_int_equal(stat("src", &st), 0);
	assert_true(a.mtime == st.st_mtim.tv_sec && a.mtime_ns == st.st_mtim.tv_nsec);
	tree_free(t);
}

static void test_root_owner(void **state)
{
	const struct tree_dir_opts opts = {.root_owner = true};
	struct tree_attr a;
	struct tree *t;

	(void)state;
	write_file("src/file", "x");
	if (geteuid() == 0)
		assert_int_equal(chown("src/file", 77, 78), 0);
	t = scan("src", &opts);
	get(t, "file", &a);
	assert_true(a.uid == 0 && a.gid == 0);
	get(t, "/", &a);
	assert_true(a.uid == 0 && a.gid == 0);
	tree_free(t);
}

static void test_below_a_directory(void **state)
{
	const struct tree_attr dir = {.mode = S_IFDIR | 0755};
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);
	struct tree_attr a;
	char text[5] = "";
	tree_node opt;

	(void)state;
	assert_non_null(t);
	write_file("src/file", "text");
	assert_int_equal(chmod("src", 0750), 0);
	assert_int_equal(tree_add(t, TREE_ROOT, "opt", 3, &dir, &opt, &err), 0);
	assert_int_equal(tree_dir_add(t, opt, "src", NULL, &err), 0);
	get(t, "/opt", &a);
	assert_int_equal(a.mode, S_IFDIR | 0750);
	assert_int_equal(tree_pread(t, lookup(t, "/opt/file"), text, 4, 0, &err), 0);
	assert_string_equal(text, "text");
	tree_free(t);
}

static void test_hard_links(void **state)
{
	struct tree_attr a, b;
	struct tree *t;

	(void)state;
	assert_int_equal(mkdir("src/d", 0755), 0);
	write_file("src/a", "one");
	assert_int_equal(link("src/a", "src/d/b"), 0);
	assert_int_equal(symlink("x", "src/s"), 0);
	assert_int_equal(linkat(AT_FDCWD, "src/s", AT_FDCWD, "src/d/s", 0), 0);
	write_file("src/c", "other");
	assert_int_equal(link("src/c", "outside"), 0);
	t = scan("src", NULL);
	get(t, "a", &a);
	get(t, "d/b", &b);
	assert_int_equal(a.inode, b.inode);
	assert_int_equal(a.nlink, 2);
	get(t, "s", &a);
	get(t, "d/s", &b);
	assert_int_equal(a.inode, b.inode);
	get(t, "c", &a);
	assert_int_equal(a.nlink, 1); /* names in the tree, not on the host */
	assert_int_equal(tree_nr_inodes(t), 5);
	tree_free(t);
}

static void test_holes(void **state)
{
	struct error err = ERROR_INIT;
	struct tree_piece piece;
	char got[10];
	struct tree *t;
	int fd = open("src/sparse", O_WRONLY | O_CREAT, 0644);

	(void)state;
	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "middle", 6, 4 << 20), 6);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	close(fd);
	fd = open("src/hole", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	t = scan("src", NULL);
	assert_int_equal(tree_pread(t, lookup(t, "sparse"), got, 10, (4 << 20) - 2, &err), 0);
	assert_memory_equal(got, "\0\0middle\0\0", 10);
	assert_int_equal(tree_pread(t, lookup(t, "hole"), got, 10, (1 << 20) - 10, &err), 0);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0\0\0", 10);
	/* File systems without SEEK_HOLE give one piece; those with it far less than the size. */
	if (tree_nr_pieces(t, lookup(t, "sparse")) == 2) {
		assert_int_equal(tree_nr_pieces(t, lookup(t, "hole")), 0);
		tree_piece(t, lookup(t, "sparse"), 1, &piece);
		assert_true(
			piece.off <= 4 << 20 && piece.len < 1 << 20 && piece.src_off == piece.off);
	}
	tree_free(t);
}

static void test_xattrs(void **state)
{
	char big[3000];
	const char *name;
	const void *value;
	size_t len;
	struct tree *t;

	(void)state;
	write_file("src/file", "x");
	memset(big, 'b', sizeof(big));
	if (setxattr("src/file", "user.b", "two", 3, 0)) {
		print_message("no user.* attributes in %s, skipped\n", top);
		skip();
	}
	assert_int_equal(setxattr("src/file", "user.a", big, sizeof(big), 0), 0);
	assert_int_equal(setxattr("src", "user.dir", "", 0, 0), 0);
	t = scan("src", NULL);
	assert_true(tree_xattr(t, lookup(t, "file"), 0, &name, &value, &len));
	assert_string_equal(name, "user.a");
	assert_int_equal(len, sizeof(big));
	assert_memory_equal(value, big, sizeof(big));
	assert_true(tree_xattr(t, lookup(t, "file"), 1, &name, &value, &len));
	assert_string_equal(name, "user.b");
	assert_false(tree_xattr(t, lookup(t, "file"), 2, &name, &value, &len));
	assert_true(tree_xattr(t, TREE_ROOT, 0, &name, &value, &len));
	assert_string_equal(name, "user.dir");
	tree_free(t);
}

/* What only root may make. */
static void test_as_root(void **state)
{
	static const unsigned char cap[20] = {1, 0, 0, 2, 0, 4};
	struct tree_attr a;
	const char *name;
	const void *value;
	size_t len;
	struct tree *t;

	(void)state;
	if (geteuid() || mknod("src/null", S_IFCHR | 0666, makedev(1, 3)))
		skip();
	assert_int_equal(mknod("src/block", S_IFBLK | 0660, makedev(259, 70000)), 0);
	write_file("src/ping", "x");
	assert_int_equal(setxattr("src/ping", "security.capability", cap, sizeof(cap), 0), 0);
	assert_int_equal(symlink("x", "src/link"), 0);
	assert_int_equal(lsetxattr("src/link", "trusted.t", "v", 1, 0), 0);
	assert_int_equal(lchown("src/link", 12, 34), 0);
	t = scan("src", NULL);
	get(t, "null", &a);
	assert_true(S_ISCHR(a.mode) && a.rdev_major == 1 && a.rdev_minor == 3);
	get(t, "block", &a);
	assert_true(S_ISBLK(a.mode) && a.rdev_major == 259 && a.rdev_minor == 70000);
	get(t, "link", &a);
	assert_true(a.uid == 12 && a.gid == 34);
	assert_true(tree_xattr(t, lookup(t, "ping"), 0, &name, &value, &len));
	assert_true(len == sizeof(cap) && !memcmp(value, cap, len));
	assert_true(tree_xattr(t, lookup(t, "link"), 0, &name, &value, &len));
	assert_string_equal(name, "trusted.t");
	tree_free(t);
}

static void test_socket(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "src/sock"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	expect_scan_error(ERROR_INPUT, "'src/sock' is a socket, which cannot be packed; remove it");
}

static void test_unreadable(void **state)
{
	(void)state;
	if (geteuid() == 0 && seteuid(65534))
		skip();
	if (geteuid() == 65534 && getuid() == 0) {
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(chmod(top, 0755), 0);
		write_file("src/secret", "x");
		assert_int_equal(chmod("src/secret", 0), 0);
		assert_int_equal(seteuid(65534), 0);
		expect_scan_error(ERROR_IO, "'src/secret': Permission denied");
		assert_int_equal(seteuid(0), 0);
		return;
	}
	write_file("src/secret", "x");
	assert_int_equal(chmod("src/secret", 0), 0);
	expect_scan_error(ERROR_IO, "'src/secret': Permission denied");
}

static void test_missing(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	(void)state;
	assert_non_null(t);
	write_file("file", "x");
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "none", NULL, &err), -1);
	assert_non_null(strstr(err.text, "'none': No such file"));
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "file", NULL, &err), -1);
	assert_non_null(strstr(err.text, "'file': Not a directory"));
	tree_free(t);
}

static void change_append(void)
{
	int fd = open("src/d/file", O_WRONLY | O_APPEND);

	assert_int_equal(write(fd, "more", 4), 4);
	close(fd);
}

/* Same size, same mtime: only ctime tells. */
static void change_bytes(void)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
	struct stat st;

	assert_int_equal(stat("src/d/file", &st), 0);
	usleep(20000); /* longer than the kernel's clock tick */
	write_file("src/d/file", "TEXT");
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, "src/d/file", times, 0), 0);
}

static void change_truncate(void)
{
	assert_int_equal(truncate("src/d/file", 2), 0);
}

static void change_remove(void)
{
	assert_int_equal(unlink("src/d/file"), 0);
}

static void change_to_link(void)
{
	assert_int_equal(rename("src/d/file", "src/other"), 0);
	assert_int_equal(symlink("../other", "src/d/file"), 0);
}

static void change_dir_to_link(void)
{
	assert_int_equal(rename("src/d", "src/e"), 0);
	assert_int_equal(symlink("e", "src/d"), 0);
}

static void change_to_fifo(void)
{
	change_remove();
	assert_int_equal(mkfifo("src/d/file", 0644), 0);
}

static void test_changes(void **state)
{
	static void (*const changes[])(void) = {change_append, change_bytes, change_truncate,
		change_remove, change_to_link, change_to_fifo, change_dir_to_link};
	char buf[4];

	(void)state;
	assert_int_equal(mkdir("src/d", 0755), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		/* Warm: the file was read before, so its descriptor may still be open */
		for (int warm = 0; warm < 2 && (!warm || i < 3); warm++) {
			struct error err = ERROR_INIT;
			struct tree_piece p;
			struct tree *t;
			uint64_t base;
			int fd = -1;

			unlink("src/d/file");
			write_file("src/d/file", "text");
			t = scan("src", NULL);
			tree_piece(t, lookup(t, "d/file"), 0, &p);
			if (warm)
				assert_int_equal(source_pread(p.src, p.id, buf, 4, 0, &err), 0);
			changes[i]();
			assert_int_equal(source_pread(p.src, p.id, buf, 4, 0, &err), -1);
			assert_int_equal(err.kind, ERROR_INPUT);
			assert_non_null(strstr(err.text, "' changed while it was read"));
			assert_int_equal(strncmp(err.text, "'src/d", 6), 0);
			assert_int_equal(source_open(p.src, p.id, &fd, &base, &err), -1);
			assert_int_equal(fd, -1);
			tree_free(t);
		}
	}
}

static void test_open(void **state)
{
	struct error err = ERROR_INIT;
	struct tree_piece p;
	struct tree *t;
	uint64_t base = 1;
	char got[4];
	int fd;

	(void)state;
	write_file("src/file", "text");
	t = scan("src", NULL);
	tree_piece(t, lookup(t, "file"), 0, &p);
	assert_int_equal(source_open(p.src, p.id, &fd, &base, &err), 0);
	assert_int_equal(pread(fd, got, 4, (off_t)base), 4);
	assert_memory_equal(got, "text", 4);
	close(fd);
	tree_free(t);
}

/*
 * More folders and files than descriptors are kept, at depths where paths are too long for the
 * kernel.
 */
static void test_deep_and_many(void **state)
{
	struct error err = ERROR_INIT;
	char name[201], text[16];
	struct tree *t;
	tree_node node;
	int home = open(".", O_RDONLY | O_DIRECTORY);

	(void)state;
	memset(name, 'n', 200);
	name[200] = '\0';
	assert_int_equal(chdir("src"), 0);
	for (int i = 0; i < 60; i++) {
		snprintf(text, sizeof(text), "%07d", i);
		write_file("f", text);
		write_file("g", text);
		assert_true(mkdir(name, 0755) == 0 && chdir(name) == 0);
	}
	assert_int_equal(fchdir(home), 0);
	close(home);
	t = scan("src", NULL);
	node = TREE_ROOT;
	for (int i = 0; i < 60; i++) {
		char got[7];

		snprintf(text, sizeof(text), "%07d", i);
		assert_int_equal(tree_pread(t, tree_child(t, node, "f", 1), got, 7, 0, &err), 0);
		assert_memory_equal(got, text, 7);
		node = tree_child(t, node, name, 200);
	}
	/* Nothing is kept open of the way down: start from the deepest. */
	for (; node != TREE_ROOT; node = tree_parent(t, node))
		if (tree_child(t, node, "g", 1) != TREE_NONE)
			assert_int_equal(
				tree_pread(t, tree_child(t, node, "g", 1), text, 7, 0, &err), 0);
	tree_free(t);
	/* nftw() cannot remove what is that deep by path. */
	assert_int_equal(system("rm -rf src"), 0);
}

/* The same files made in another order: other inode numbers, other readdir order, the same tree. */
static void make_files(const char *dir, int from, int step)
{
	const struct timespec times[2] = {{1, 0}, {1, 0}};
	char path[64], other[64];

	assert_int_equal(mkdir(dir, 0755), 0);
	for (int i = from; i >= 0 && i < 200; i += step) {
		snprintf(path, sizeof(path), "%s/file-%d", dir, i);
		write_file(path, i % 2 ? "odd" : "even");
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	for (int i = 0; i < 200; i += 10) {
		snprintf(path, sizeof(path), "%s/file-%d", dir, step > 0 ? i : i + 5);
		snprintf(other, sizeof(other), "%s/file-%d", dir, step > 0 ? i + 5 : i);
		assert_int_equal(unlink(other), 0);
		write_file(path, "both");
		assert_int_equal(link(path, other), 0);
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	assert_int_equal(utimensat(AT_FDCWD, dir, times, 0), 0);
}

static void test_order(void **state)
{
	CLEANUP_BUF struct buf a = BUF_INIT(0), b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct tree *t;

	(void)state;
	make_files("one", 0, 1);
	make_files("two", 199, -1);
	t = scan("one", NULL);
	assert_int_equal(treedump(t, &a, &err), 0);
	tree_free(t);
	t = scan("two", NULL);
	assert_int_equal(treedump(t, &b, &err), 0);
	tree_free(t);
	assert_string_equal(buf_str(&a), buf_str(&b));
}

/* "lib" of the layer meets "lib -> usr/lib" of an earlier one: what is there must stay. */
static void test_linked_directory(void **state)
{
	const struct tree_attr dir = {.mode = S_IFDIR | 0755};
	const struct tree_attr to_lib = {.mode = S_IFLNK | 0777, .target = "usr/lib"};
	const struct tree_attr dangling = {.mode = S_IFLNK | 0777, .target = "usr/none"};
	const struct tree_attr old = {.mode = S_IFREG | 0644};
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);
	struct tree_attr a;
	tree_node usr, lib, node;
	char got[4];

	(void)state;
	assert_non_null(t);
	assert_int_equal(tree_add(t, TREE_ROOT, "usr", 3, &dir, &usr, &err), 0);
	assert_int_equal(tree_add(t, usr, "lib", 3, &dir, &lib, &err), 0);
	assert_int_equal(tree_add(t, lib, "libc.so", 7, &old, &node, &err), 0);
	assert_int_equal(tree_add(t, TREE_ROOT, "lib", 3, &to_lib, &node, &err), 0);
	assert_int_equal(tree_add(t, TREE_ROOT, "gone", 4, &dangling, &node, &err), 0);
	assert_true(mkdir("src/usr", 0755) == 0 && mkdir("src/usr/lib", 0755) == 0);
	assert_true(mkdir("src/lib", 0700) == 0 && mkdir("src/lib/sub", 0755) == 0);
	assert_int_equal(mkdir("src/gone", 0755), 0);
	write_file("src/lib/file", "lib");
	write_file("src/usr/lib/file", "usr");
	write_file("src/lib/sub/x", "sub");
	/* Its twin is replaced before this one is met. */
	assert_int_equal(link("src/usr/lib/file", "src/lib/sub/twin"), 0);
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "src", NULL, &err), 0);
	get(t, "/lib", &a);
	assert_true(S_ISLNK(a.mode));
	get(t, "/usr/lib", &a);
	assert_int_equal(a.mode, S_IFDIR | 0700);
	get(t, "/usr/lib/libc.so", &a);
	assert_int_equal(tree_pread(t, lookup(t, "/usr/lib/file"), got, 3, 0, &err), 0);
	assert_memory_equal(got, "lib", 3);
	assert_int_equal(tree_pread(t, lookup(t, "/usr/lib/sub/x"), got, 3, 0, &err), 0);
	assert_memory_equal(got, "sub", 3);
	assert_int_equal(tree_pread(t, lookup(t, "/usr/lib/sub/twin"), got, 3, 0, &err), 0);
	assert_memory_equal(got, "usr", 3);
	get(t, "/gone", &a);
	assert_true(S_ISDIR(a.mode)); /* a link to nowhere is replaced */
	tree_free(t);
}

enum { NR_READERS = 4, NR_DIRS = 50 };

struct reader {
	const struct tree *t;
	int nr_wrong;
};

/* Reads all files, each in two pieces. */
static void *read_files(void *arg)
{
	struct reader *r = arg;

	for (int i = 0; i < NR_DIRS * 2; i++) {
		struct error err = ERROR_INIT;
		char path[32], want[16], got[8];
		tree_node node;

		snprintf(path, sizeof(path), "d%d/f%d", i / 2, i % 2);
		snprintf(want, sizeof(want), "%08d", i);
		if (tree_lookup(r->t, path, false, &node, &err) ||
			tree_pread(r->t, node, got, 4, 0, &err) ||
			tree_pread(r->t, node, got + 4, 4, 4, &err) || memcmp(got, want, 8) != 0)
			r->nr_wrong++;
	}
	return NULL;
}

/* More folders and files than descriptors are kept, read by several threads at once. */
static void test_threads(void **state)
{
	struct reader readers[NR_READERS];
	pthread_t threads[NR_READERS];
	char path[32], text[16];
	struct tree *t;

	(void)state;
	for (int i = 0; i < NR_DIRS * 2; i++) {
		snprintf(path, sizeof(path), "src/d%d", i / 2);
		assert_true(i % 2 || mkdir(path, 0755) == 0);
		snprintf(path, sizeof(path), "src/d%d/f%d", i / 2, i % 2);
		snprintf(text, sizeof(text), "%08d", i);
		write_file(path, text);
	}
	t = scan("src", NULL);
	for (int i = 0; i < NR_READERS; i++) {
		readers[i] = (struct reader){.t = t};
		assert_int_equal(pthread_create(&threads[i], NULL, read_files, &readers[i]), 0);
	}
	for (int i = 0; i < NR_READERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(readers[i].nr_wrong, 0);
	}
	tree_free(t);
}

static int scan_and_free(struct error *err)
{
	struct tree *t = tree_new(NULL, err);
	int status = t ? tree_dir_add(t, TREE_ROOT, "src", NULL, err) : -1;

	tree_free(t);
	return status;
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_int_equal(mkdir("src/d", 0755), 0);
	write_file("src/d/file", "text");
	assert_int_equal(link("src/d/file", "src/hard"), 0);
	assert_int_equal(symlink("d", "src/link"), 0);
	assert_true(allocfail_torture(scan_and_free));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attributes),
		TEST(test_root_owner),
		TEST(test_below_a_directory),
		TEST(test_hard_links),
		TEST(test_holes),
		TEST(test_xattrs),
		TEST(test_as_root),
		TEST(test_socket),
		TEST(test_unreadable),
		TEST(test_missing),
		TEST(test_changes),
		TEST(test_open),
		TEST(test_deep_and_many),
		TEST(test_linked_directory),
		TEST(test_threads),
		TEST(test_order),
		TEST(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
