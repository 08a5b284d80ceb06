/* SPDX-License-Identifier: Apache-2.0 */
/* Folders as layers: real files made here, compared with what stat and read say about them. */
#include "fs/tree_dir.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/dirtree.h"

static void test_attributes(void **state)
{
	const struct timespec times[2] = {{0, UTIME_OMIT}, {-100, 123456789}};
	char target[300];
	struct tree_attr a;
	struct stat st;
	struct tree *t;

	(void)state;
	dirtree_write("src/file", "text");
	assert_int_equal(chmod("src/file", 06751), 0);
	assert_int_equal(utimensat(AT_FDCWD, "src/file", times, 0), 0);
	assert_int_equal(mkfifo("src/fifo", 0620), 0);
	memset(target, 't', sizeof(target));
	target[299] = '\0';
	assert_int_equal(symlink(target, "src/link"), 0);
	assert_int_equal(mkdir("src/dir", 0755), 0);
	assert_int_equal(chmod("src/dir", 01777), 0);
	assert_int_equal(chmod("src", 0711), 0);
	t = dirtree_scan("src//", NULL);
	dirtree_get(t, "file", &a);
	assert_int_equal(stat("src/file", &st), 0);
	assert_int_equal(a.mode, st.st_mode);
	assert_int_equal(a.uid, st.st_uid);
	assert_int_equal(a.gid, st.st_gid);
	assert_int_equal(a.size, 4);
	assert_true(a.mtime == st.st_mtim.tv_sec && a.mtime_ns == st.st_mtim.tv_nsec);
	dirtree_get(t, "fifo", &a);
	assert_true(S_ISFIFO(a.mode));
	dirtree_get(t, "link", &a);
	assert_true(S_ISLNK(a.mode) && a.size == 299);
	assert_string_equal(a.target, target);
	dirtree_get(t, "dir", &a);
	assert_int_equal(a.mode, S_IFDIR | 01777);
	dirtree_get(t, "/", &a);
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
	dirtree_write("src/file", "x");
	if (geteuid() == 0)
		assert_int_equal(chown("src/file", 77, 78), 0);
	t = dirtree_scan("src", &opts);
	dirtree_get(t, "file", &a);
	assert_true(a.uid == 0 && a.gid == 0);
	dirtree_get(t, "/", &a);
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
	dirtree_write("src/file", "text");
	assert_int_equal(chmod("src", 0750), 0);
	assert_int_equal(tree_add(t, TREE_ROOT, "opt", 3, &dir, &opt, &err), 0);
	assert_int_equal(tree_dir_add(t, opt, "src", NULL, &err), 0);
	dirtree_get(t, "/opt", &a);
	assert_int_equal(a.mode, S_IFDIR | 0750);
	assert_int_equal(tree_pread(t, dirtree_find(t, "/opt/file"), text, 4, 0, &err), 0);
	assert_string_equal(text, "text");
	tree_free(t);
}

static void test_hard_links(void **state)
{
	struct tree_attr a, b;
	struct tree *t;

	(void)state;
	assert_int_equal(mkdir("src/d", 0755), 0);
	dirtree_write("src/a", "one");
	assert_int_equal(link("src/a", "src/d/b"), 0);
	assert_int_equal(symlink("x", "src/s"), 0);
	assert_int_equal(linkat(AT_FDCWD, "src/s", AT_FDCWD, "src/d/s", 0), 0);
	dirtree_write("src/c", "other");
	assert_int_equal(link("src/c", "outside"), 0);
	t = dirtree_scan("src", NULL);
	dirtree_get(t, "a", &a);
	dirtree_get(t, "d/b", &b);
	assert_int_equal(a.inode, b.inode);
	assert_int_equal(a.nlink, 2);
	dirtree_get(t, "s", &a);
	dirtree_get(t, "d/s", &b);
	assert_int_equal(a.inode, b.inode);
	dirtree_get(t, "c", &a);
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
	t = dirtree_scan("src", NULL);
	assert_int_equal(tree_pread(t, dirtree_find(t, "sparse"), got, 10, (4 << 20) - 2, &err), 0);
	assert_memory_equal(got, "\0\0middle\0\0", 10);
	assert_int_equal(tree_pread(t, dirtree_find(t, "hole"), got, 10, (1 << 20) - 10, &err), 0);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0\0\0", 10);
	/* File systems without SEEK_HOLE give one piece; those with it far less than the size. */
	if (tree_nr_pieces(t, dirtree_find(t, "sparse")) == 2) {
		assert_int_equal(tree_nr_pieces(t, dirtree_find(t, "hole")), 0);
		tree_piece(t, dirtree_find(t, "sparse"), 1, &piece);
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
	dirtree_write("src/file", "x");
	memset(big, 'b', sizeof(big));
	if (setxattr("src/file", "user.b", "two", 3, 0)) {
		print_message("no user.* attributes here, skipped\n");
		skip();
	}
	assert_int_equal(setxattr("src/file", "user.a", big, sizeof(big), 0), 0);
	assert_int_equal(setxattr("src", "user.dir", "", 0, 0), 0);
	t = dirtree_scan("src", NULL);
	assert_true(tree_xattr(t, dirtree_find(t, "file"), 0, &name, &value, &len));
	assert_string_equal(name, "user.a");
	assert_int_equal(len, sizeof(big));
	assert_memory_equal(value, big, sizeof(big));
	assert_true(tree_xattr(t, dirtree_find(t, "file"), 1, &name, &value, &len));
	assert_string_equal(name, "user.b");
	assert_false(tree_xattr(t, dirtree_find(t, "file"), 2, &name, &value, &len));
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
	dirtree_write("src/ping", "x");
	assert_int_equal(setxattr("src/ping", "security.capability", cap, sizeof(cap), 0), 0);
	assert_int_equal(symlink("x", "src/link"), 0);
	assert_int_equal(lsetxattr("src/link", "trusted.t", "v", 1, 0), 0);
	assert_int_equal(lchown("src/link", 12, 34), 0);
	t = dirtree_scan("src", NULL);
	dirtree_get(t, "null", &a);
	assert_true(S_ISCHR(a.mode) && a.rdev_major == 1 && a.rdev_minor == 3);
	dirtree_get(t, "block", &a);
	assert_true(S_ISBLK(a.mode) && a.rdev_major == 259 && a.rdev_minor == 70000);
	dirtree_get(t, "link", &a);
	assert_true(a.uid == 12 && a.gid == 34);
	assert_true(tree_xattr(t, dirtree_find(t, "ping"), 0, &name, &value, &len));
	assert_true(len == sizeof(cap) && !memcmp(value, cap, len));
	assert_true(tree_xattr(t, dirtree_find(t, "link"), 0, &name, &value, &len));
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
	dirtree_expect_error(ERROR_INPUT, "'src/sock' is a socket, which cannot be packed; remove it");
}

static void test_unreadable(void **state)
{
	(void)state;
	if (geteuid() == 0 && seteuid(65534))
		skip();
	if (geteuid() == 65534 && getuid() == 0) {
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(chmod(".", 0755), 0);
		dirtree_write("src/secret", "x");
		assert_int_equal(chmod("src/secret", 0), 0);
		assert_int_equal(seteuid(65534), 0);
		dirtree_expect_error(ERROR_IO, "'src/secret': Permission denied");
		assert_int_equal(seteuid(0), 0);
		return;
	}
	dirtree_write("src/secret", "x");
	assert_int_equal(chmod("src/secret", 0), 0);
	dirtree_expect_error(ERROR_IO, "'src/secret': Permission denied");
}

static void test_missing(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	(void)state;
	assert_non_null(t);
	dirtree_write("file", "x");
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "none", NULL, &err), -1);
	assert_non_null(strstr(err.text, "'none': No such file"));
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "file", NULL, &err), -1);
	assert_non_null(strstr(err.text, "'file': Not a directory"));
	tree_free(t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, dirtree_make, dirtree_remove)

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
