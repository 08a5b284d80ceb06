/* SPDX-License-Identifier: Apache-2.0 */
/* Folders as layers while they are used: what changes, what goes deep, many readers at once, no memory. */
#include "fs/tree_dir.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/allocfail.h"
#include "tests/lib/dirtree.h"
#include "tests/lib/treedump.h"

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
	dirtree_write("src/d/file", "TEXT");
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
			dirtree_write("src/d/file", "text");
			t = dirtree_scan("src", NULL);
			tree_piece(t, dirtree_find(t, "d/file"), 0, &p);
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
	dirtree_write("src/file", "text");
	t = dirtree_scan("src", NULL);
	tree_piece(t, dirtree_find(t, "file"), 0, &p);
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
		dirtree_write("f", text);
		dirtree_write("g", text);
		assert_true(mkdir(name, 0755) == 0 && chdir(name) == 0);
	}
	assert_int_equal(fchdir(home), 0);
	close(home);
	t = dirtree_scan("src", NULL);
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
		dirtree_write(path, i % 2 ? "odd" : "even");
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	for (int i = 0; i < 200; i += 10) {
		snprintf(path, sizeof(path), "%s/file-%d", dir, step > 0 ? i : i + 5);
		snprintf(other, sizeof(other), "%s/file-%d", dir, step > 0 ? i + 5 : i);
		assert_int_equal(unlink(other), 0);
		dirtree_write(path, "both");
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
	t = dirtree_scan("one", NULL);
	assert_int_equal(treedump(t, &a, &err), 0);
	tree_free(t);
	t = dirtree_scan("two", NULL);
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
	dirtree_write("src/lib/file", "lib");
	dirtree_write("src/usr/lib/file", "usr");
	dirtree_write("src/lib/sub/x", "sub");
	/* Its twin is replaced before this one is met. */
	assert_int_equal(link("src/usr/lib/file", "src/lib/sub/twin"), 0);
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "src", NULL, &err), 0);
	dirtree_get(t, "/lib", &a);
	assert_true(S_ISLNK(a.mode));
	dirtree_get(t, "/usr/lib", &a);
	assert_int_equal(a.mode, S_IFDIR | 0700);
	dirtree_get(t, "/usr/lib/libc.so", &a);
	assert_int_equal(tree_pread(t, dirtree_find(t, "/usr/lib/file"), got, 3, 0, &err), 0);
	assert_memory_equal(got, "lib", 3);
	assert_int_equal(tree_pread(t, dirtree_find(t, "/usr/lib/sub/x"), got, 3, 0, &err), 0);
	assert_memory_equal(got, "sub", 3);
	assert_int_equal(tree_pread(t, dirtree_find(t, "/usr/lib/sub/twin"), got, 3, 0, &err), 0);
	assert_memory_equal(got, "usr", 3);
	dirtree_get(t, "/gone", &a);
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
		dirtree_write(path, text);
	}
	t = dirtree_scan("src", NULL);
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
	dirtree_write("src/d/file", "text");
	assert_int_equal(link("src/d/file", "src/hard"), 0);
	assert_int_equal(symlink("d", "src/link"), 0);
	assert_true(allocfail_torture(scan_and_free));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, dirtree_make, dirtree_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
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
