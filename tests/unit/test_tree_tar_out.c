/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees as tar archives: what goes through the archive and is read again is the same tree, down to
 * holes and nanoseconds; GNU tar agrees on names and kinds.
 */
#include "fs/tree_tar_out.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "fs/tree_tar.h"
#include "tests/lib/tmpdir.h"
#include "tests/lib/treedump.h"

static char *dir;

static int make_dir(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	dir = tmpdir_new();
	return dir ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	tmpdir_free(dir);
	return 0;
}

static const char *in_dir(const char *name)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct tree *new_tree(void)
{
	struct tree *t = tree_new(dir, NULL);

	assert_non_null(t);
	return t;
}

static tree_node add(struct tree *t, tree_node below, const char *name, struct tree_attr a)
{
	struct error err = ERROR_INIT;
	tree_node node;

	if (tree_add(t, below, name, strlen(name), &a, &node, &err) < 0)
		fail_msg("%s", err.text);
	return node;
}

static void add_data(struct tree *t, tree_node node, uint64_t off, size_t len, int byte)
{
	struct error err = ERROR_INIT;
	struct spool *spool = tree_spool(t, &err);
	char *data = malloc(len);
	uint64_t at;

	assert_non_null(data);
	memset(data, byte, len);
	assert_int_equal(spool_append(spool, data, len, &at, &err), 0);
	assert_int_equal(tree_add_piece(t, node,
				 &(struct tree_piece){off, len, spool_source(spool), 0, at}, &err), 0);
	free(data);
}

static void set(struct tree *t, tree_node node, const char *name, const void *value, size_t len)
{
	assert_int_equal(tree_set_xattr(t, node, name, value, len, NULL), 0);
}

static tree_node add_file(struct tree *t, tree_node below, const char *name, uint64_t size)
{
	return add(t, below, name, (struct tree_attr){.mode = S_IFREG | 0644, .size = size});
}

static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0, 0xe8, 3, 0, 0, 4, 0,
	4, 0, 255, 255, 255, 255, 8, 0, 5, 0, 0, 0, 0, 0x70, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0,
	0, 255, 255, 255, 255};

static void add_times(struct tree *t)
{
	static const struct {
		int64_t s;
		uint32_t ns;
	} times[] = {{0, 0}, {0, 1}, {-1, 0}, {-2, 500000000}, {-2147483648LL, 7}, {4294967296LL, 0},
		{9999999999LL, 123456789}};
	tree_node d = add(t, TREE_ROOT, "times", (struct tree_attr){.mode = S_IFDIR | 0755});
	char name[20];

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		tree_set_mtime(t, add_file(t, d, name, 0), times[i].s, times[i].ns);
	}
}

static void add_names(struct tree *t)
{
	tree_node d = add(t, TREE_ROOT, "names", (struct tree_attr){.mode = S_IFDIR | 0755});
	char name[256];

	for (int len = 90; len <= 255; len += 5) {
		memset(name, 'n', (size_t)len);
		name[len] = '\0';
		add_data(t, add_file(t, d, name, 3), 0, 3, len);
	}
	add_file(t, d, "\xff\xfe bytes \n\t=", 0);
	add_file(t, d, "h\xc3\xa9llo", 0);
	add_file(t, d, "-dash", 0);
	for (int i = 0; i < 5; i++) {
		memset(name, 'd', 200);
		name[200] = '\0';
		d = add(t, d, name, (struct tree_attr){.mode = S_IFDIR | 0700, .uid = 7});
	}
	add_file(t, d, "h\xc3\xa9llo", 0);
	name[199] = '\0';
	add(t, d, name, (struct tree_attr){.mode = S_IFLNK | 0777, .target = name});
}

static void add_sparse(struct tree *t)
{
	tree_node d = add(t, TREE_ROOT, "sparse", (struct tree_attr){.mode = S_IFDIR | 0755}), f;

	add_file(t, d, "all-hole", 1 << 20);
	f = add_file(t, d, "hole-at-end", 40000);
	add_data(t, f, 0, 4096, 'a');
	f = add_file(t, d, "hole-at-start", 8199);
	add_data(t, f, 8192, 7, 'b');
	f = add_file(t, d, "huge", UINT64_C(20) << 30);
	add_data(t, f, 512, 1024, 'c');
	add_data(t, f, UINT64_C(19) << 30, 512, 'd');
	f = add_file(t, d, "comb", 4096 * 600);
	for (uint64_t i = 0; i < 300; i++)
		add_data(t, f, i * 8192, 4096, (int)i);
}

static struct tree *odd_tree(void)
{
	struct tree *t = new_tree();
	tree_node d = add(t, TREE_ROOT, "d", (struct tree_attr){.mode = S_IFDIR | 01777, .gid = 4000000000}), f;
	char big[60000];

	tree_chown(t, TREE_ROOT, 3, 4);
	tree_set_mtime(t, TREE_ROOT, 77, 0);
	f = add(t, d, "file", (struct tree_attr){.mode = S_IFREG | 06755, .size = 700000, .uid = 3000000});
	add_data(t, f, 0, 700000, 'x');
	set(t, f, "user.a", "1\n2\0003", 5);
	set(t, f, "user.empty", "", 0);
	memset(big, 'v', sizeof(big));
	set(t, f, "trusted.big", big, sizeof(big));
	set(t, f, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	assert_int_equal(tree_link(t, TREE_ROOT, "z-link", 6, f, &f, NULL), 0);
	assert_int_equal(tree_link(t, TREE_ROOT, "a-link", 6, f, &f, NULL), 0);
	f = add(t, d, "acl", (struct tree_attr){.mode = S_IFREG | 0640});
	set(t, f, "system.posix_acl_access", acl, sizeof(acl));
	set(t, d, "system.posix_acl_default", acl, sizeof(acl));
	add(t, d, "chr", (struct tree_attr){.mode = S_IFCHR | 0600, .rdev_major = 4095, .rdev_minor = 1048575});
	add(t, d, "blk", (struct tree_attr){.mode = S_IFBLK | 0660, .rdev_major = 8});
	add(t, d, "fifo", (struct tree_attr){.mode = S_IFIFO | 0622});
	f = add(t, d, "sym", (struct tree_attr){.mode = S_IFLNK | 0777, .target = "../\xff"});
	assert_int_equal(tree_link(t, d, "sym2", 4, f, &f, NULL), 0);
	add_times(t);
	add_names(t);
	add_sparse(t);
	return t;
}

static void write_tar(const struct tree *t, tree_node root, const char *name)
{
	struct error err = ERROR_INIT;
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (tree_tar_write(t, root, fd, name, NULL, &err) < 0)
		fail_msg("%s", err.text);
	close(fd);
}

static struct tree *read_tar(const char *name)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();

	if (tree_tar_add(t, in_dir(name), NULL, &err) < 0 || tree_finish(t, INT64_MAX, &err) < 0)
		fail_msg("%s", err.text);
	return t;
}

static void assert_same(struct tree *a, struct tree *b)
{
	struct buf x = BUF_INIT(0), y = BUF_INIT(0);

	assert_int_equal(treedump(a, &x, NULL), 0);
	assert_int_equal(treedump(b, &y, NULL), 0);
	for (const char *p = buf_str(&x), *q = buf_str(&y); *p || *q;) {
		size_t n = strcspn(p, "\n"), m = strcspn(q, "\n");

		if (n != m || memcmp(p, q, n) != 0)
			fail_msg("%.*s\nis now\n%.*s", (int)MIN(n, 300), p, (int)MIN(m, 300), q);
		p += n + (p[n] != 0);
		q += m + (q[m] != 0);
	}
	buf_release(&x);
	buf_release(&y);
}

static tree_node find(struct tree *t, const char *path)
{
	tree_node node;

	assert_int_equal(tree_lookup(t, path, false, &node, NULL), 0);
	assert_int_not_equal(node, TREE_NONE);
	return node;
}

static void test_round_trip(void **state)
{
	struct tree *t = odd_tree(), *back;
	struct tree_piece piece;

	(void)state;
	assert_int_equal(tree_finish(t, INT64_MAX, NULL), 0);
	write_tar(t, TREE_ROOT, "a.tar");
	back = read_tar("a.tar");
	assert_int_equal(tree_nr_pieces(back, find(back, "sparse/huge")), 2);
	tree_piece(back, find(back, "sparse/huge"), 1, &piece);
	assert_true(piece.off == UINT64_C(19) << 30 && piece.len == 512);
	tree_remove(t, find(t, "sparse/huge"));
	tree_remove(back, find(back, "sparse/huge"));
	assert_int_equal(tree_finish(t, INT64_MAX, NULL), 0);
	assert_int_equal(tree_finish(back, INT64_MAX, NULL), 0);
	assert_same(t, back);
	/* And what was read gives the same bytes again. */
	write_tar(t, TREE_ROOT, "b.tar");
	write_tar(back, TREE_ROOT, "c.tar");
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(system("cmp b.tar c.tar"), 0);
	tree_free(t);
	tree_free(back);
}

/* Names by GNU tar, one a line and quoted, are those of the tree; it has no word of complaint. */
static void test_gnu_tar_agrees(void **state)
{
	struct tree *t = odd_tree();
	char line[2000];
	uint32_t nr = 0;
	FILE *f;

	(void)state;
	assert_int_equal(tree_finish(t, INT64_MAX, NULL), 0);
	write_tar(t, TREE_ROOT, "g.tar");
	snprintf(line, sizeof(line), "LC_ALL=C tar -tvf '%s' 2>&1", in_dir("g.tar"));
	f = popen(line, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "tar:", 4) == 0)
			fail_msg("%s", line);
		nr++;
	}
	assert_int_equal(pclose(f), 0);
	assert_int_equal(nr, tree_nr_nodes(t));
	snprintf(line, sizeof(line),
		"tar -tvf '%s' --full-time 2>&1 | grep -q '21474836480.* sparse/huge$'", in_dir("g.tar"));
	assert_int_equal(system(line), 0);
	tree_free(t);
}

static void test_part_without_mounts(void **state)
{
	struct tree *t = new_tree(), *back;
	tree_node var, log, lib;

	(void)state;
	var = add(t, TREE_ROOT, "var", (struct tree_attr){.mode = S_IFDIR | 0711, .uid = 9});
	log = add(t, var, "log", (struct tree_attr){.mode = S_IFDIR | 0750});
	add_file(t, log, "messages", 0);
	lib = add(t, var, "lib", (struct tree_attr){.mode = S_IFDIR | 0755});
	add_data(t, add_file(t, lib, "one", 5), 0, 5, '1');
	/* A further name outside of the part; it comes first in the whole. */
	assert_int_equal(tree_link(t, TREE_ROOT, "a", 1, find(t, "var/lib/one"), &lib, NULL), 0);
	tree_set_mount_point(t, var);
	tree_set_mount_point(t, log);
	assert_int_equal(tree_finish(t, INT64_MAX, NULL), 0);
	write_tar(t, var, "p.tar");
	back = read_tar("p.tar");
	assert_int_equal(tree_nr_nodes(back), 4); /* root, lib, lib/one, log */
	assert_int_equal(tree_nr_pieces(back, find(back, "lib/one")), 1);
	assert_int_equal(tree_first_child(back, find(back, "log")), TREE_NONE);
	tree_free(t);
	tree_free(back);
}

static void test_what_tar_cannot_hold(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	int fd = open("/dev/null", O_WRONLY);
	tree_node f;

	(void)state;
	f = add_file(t, TREE_ROOT, "f", 0);
	set(t, f, "system.posix_acl_access", acl, sizeof(acl) - 1);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	assert_int_equal(tree_tar_write(t, TREE_ROOT, fd, "x", NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "'/f': its ACL is damaged"));
	close(fd);
	tree_free(t);
}

static bool always(void)
{
	return true;
}

static void test_reader_goes_away(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	int ends[2];

	(void)state;
	add_data(t, add_file(t, TREE_ROOT, "f", 1 << 20), 0, 1 << 20, 'x');
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(tree_tar_write(t, TREE_ROOT, ends[1], "pipe", NULL, &err), -1);
	assert_int_equal(err.errnum, EPIPE);
	assert_int_equal(tree_tar_write(t, TREE_ROOT, ends[1], "pipe", always, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	close(ends[1]);
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_gnu_tar_agrees),
		cmocka_unit_test(test_part_without_mounts),
		cmocka_unit_test(test_what_tar_cannot_hold),
		cmocka_unit_test(test_reader_goes_away),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
