/* SPDX-License-Identifier: Apache-2.0 */
/* Edits by path: what they make, what patterns match, and that a failed one changes nothing. */
#include "fs/tree_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/allocfail.h"

static const struct tree_edit_owner root = {0, 0};

static void write_text(struct tree *t, const char *path, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(tree_edit_write(t, path, text, strlen(text), 0644, root, 42, &err), 0);
}

static tree_node find(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	return node;
}

static uint32_t mode_of(const struct tree *t, const char *path)
{
	struct tree_attr attr;

	assert_int_not_equal(find(t, path), TREE_NONE);
	tree_get(t, find(t, path), &attr);
	return attr.mode;
}

/* "/etc/{a.conf,b.conf,.hidden}", "/etc/d/e/f", "/usr/bin/x", bin -> usr/bin, accounts. */
static struct tree *sample(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	write_text(t, "/etc/a.conf", "a");
	write_text(t, "/etc/b.conf", "b");
	write_text(t, "/etc/.hidden", "h");
	write_text(t, "/etc/d/e/f", "f");
	write_text(t, "/usr/bin/x", "x");
	assert_int_equal(tree_edit_symlink(t, "/bin", "usr/bin", root, 42, &err), 0);
	write_text(t, "/etc/passwd",
		"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:34::/var/www:/bin/false\n"
		"www:x:1:1::/:\nbroken:x:y:1::/:\nlast:x:7:8::/:");
	write_text(t, "/etc/group", "root:x:0:\nadm:x:4:syslog\n");
	return t;
}

static void test_write(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = sample();
	const struct tree_edit_owner owner = {5, 6};
	struct tree_attr a;
	char got[6] = "";

	(void)state;
	assert_int_equal(tree_edit_write(t, "bin/new", "hello", 5, 04750, owner, 99, &err), 0);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	tree_get(t, find(t, "/usr/bin/new"), &a);
	assert_int_equal(a.mode, S_IFREG | 04750);
	assert_true(a.uid == 5 && a.gid == 6 && a.mtime == 99 && a.size == 5);
	assert_int_equal(tree_pread(t, find(t, "/usr/bin/new"), got, 5, 0, &err), 0);
	assert_string_equal(got, "hello");
	/* A link is replaced itself; its target stays. */
	assert_int_equal(tree_edit_symlink(t, "/etc/link", "a.conf", owner, 1, &err), 0);
	write_text(t, "/etc/link", "");
	assert_int_equal(mode_of(t, "/etc/link"), S_IFREG | 0644);
	assert_int_equal(mode_of(t, "/etc/a.conf"), S_IFREG | 0644);
	assert_int_equal(mode_of(t, "/etc"), S_IFDIR | 0755);
	/* A directory that holds something is not thrown away. */
	assert_int_equal(tree_edit_write(t, "/etc", "x", 1, 0644, root, 1, &err), -1);
	assert_non_null(strstr(err.text, "'/etc'"));
	assert_int_equal(tree_edit_symlink(t, "/etc/d", "x", root, 1, &err), -1);
	assert_int_equal(tree_edit_write(t, "/etc/a.conf/b", "x", 1, 0644, root, 1, &err), -1);
	assert_int_not_equal(find(t, "/etc/d/e/f"), TREE_NONE);
	tree_free(t);
}

static void test_mkdir(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = sample();
	const struct tree_edit_owner owner = {5, 6};
	struct tree_attr a;

	(void)state;
	assert_int_equal(tree_edit_mkdir(t, "/var/lib/x", 0700, owner, 9, &err), 0);
	assert_int_equal(mode_of(t, "/var/lib"), S_IFDIR | 0755);
	tree_get(t, find(t, "/var/lib/x"), &a);
	assert_true(a.mode == (S_IFDIR | 0700) && a.uid == 5 && a.gid == 6 && a.mtime == 9);
	assert_int_equal(tree_edit_mkdir(t, "/bin", 0711, owner, 9, &err), 0);
	assert_int_equal(mode_of(t, "/usr/bin"), S_IFDIR | 0711);
	assert_int_equal(mode_of(t, "/usr/bin/x"), S_IFREG | 0644);
	assert_int_equal(tree_edit_mkdir(t, "/", 0700, owner, 9, &err), 0);
	assert_int_equal(mode_of(t, "/"), S_IFDIR | 0700);
	tree_free(t);
}

static void test_remove(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = sample();
	uint32_t nr = tree_nr_nodes(t);

	(void)state;
	assert_int_equal(tree_edit_remove(t, "/etc/*.none", false, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(tree_edit_remove(t, "/etc/*.none", true, &err), 0);
	assert_int_equal(tree_edit_remove(t, "/*/..", false, &err), -1); /* the root */
	assert_int_equal(tree_nr_nodes(t), nr);
	assert_int_equal(tree_edit_remove(t, "/etc/[ab].conf", false, &err), 0);
	assert_int_equal(tree_nr_nodes(t), nr - 2);
	assert_int_equal(tree_edit_remove(t, "/bin/?", false, &err), 0);
	assert_int_equal(find(t, "/usr/bin/x"), TREE_NONE);
	/* A pattern for the link takes the link. */
	assert_int_equal(tree_edit_remove(t, "bin/", false, &err), 0);
	assert_int_not_equal(find(t, "/usr/bin"), TREE_NONE);
	/* "*" takes dot files, and stays in its directory. */
	assert_int_equal(tree_edit_remove(t, "/etc/d*", false, &err), 0);
	assert_int_equal(tree_edit_remove(t, "/etc/*", false, &err), 0);
	assert_int_equal(tree_nr_nodes(t), 4); /* /, /etc, /usr, /usr/bin */
	tree_free(t);
}

/* One match is below another one: both must go, once. */
static void test_remove_nested(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	(void)state;
	assert_non_null(t);
	write_text(t, "/a/x/y/x", "1");
	assert_int_equal(tree_edit_symlink(t, "/b", "/a/x/y", root, 0, &err), 0);
	assert_int_equal(tree_edit_symlink(t, "/c", "/a", root, 0, &err), 0);
	assert_int_equal(tree_edit_remove(t, "/*/x", false, &err), 0);
	assert_int_equal(find(t, "/a/x"), TREE_NONE);
	assert_int_equal(tree_nr_nodes(t), 4);
	assert_int_equal(tree_nr_inodes(t), 4);
	tree_free(t);
}

static void test_chmod(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = sample();

	(void)state;
	assert_int_equal(tree_edit_chmod(t, "/etc/*.conf", 0600, false, &err), 0);
	assert_int_equal(mode_of(t, "/etc/b.conf"), S_IFREG | 0600);
	assert_int_equal(tree_edit_chmod(t, "/etc/d", 02640, true, &err), 0);
	assert_int_equal(mode_of(t, "/etc/d"), S_IFDIR | 02750);
	assert_int_equal(mode_of(t, "/etc/d/e"), S_IFDIR | 02750);
	assert_int_equal(mode_of(t, "/etc/d/e/f"), S_IFREG | 02640);
	assert_int_equal(mode_of(t, "/etc/passwd"), S_IFREG | 0644);
	assert_int_equal(tree_edit_chmod(t, "/bin", 0700, false, &err), 0);
	assert_int_equal(mode_of(t, "/usr/bin"), S_IFDIR | 0700);
	assert_int_equal(mode_of(t, "/bin"), S_IFLNK | 0777);
	assert_int_equal(tree_edit_chmod(t, "/none", 0700, false, &err), -1);
	assert_int_equal(tree_edit_chmod(t, "/n*e", 0700, false, &err), -1);
	assert_int_equal(tree_edit_chmod(t, "/[b]in", 0100, true, &err), 0);
	assert_int_equal(mode_of(t, "/bin"), S_IFLNK | 0777);
	tree_free(t);
}

static void test_chown(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = sample();
	const struct tree_edit_owner owner = {5, 6};
	struct tree_attr a;

	(void)state;
	assert_int_equal(tree_edit_chown(t, "/e?c", owner, true, &err), 0);
	tree_get(t, find(t, "/etc/d/e/f"), &a);
	assert_true(a.uid == 5 && a.gid == 6);
	tree_get(t, find(t, "/usr"), &a);
	assert_true(a.uid == 0 && a.gid == 0);
	assert_int_equal(tree_edit_chown(t, "/bin", owner, false, &err), 0);
	tree_get(t, find(t, "/bin"), &a);
	assert_true(a.uid == 5 && a.gid == 6);
	assert_int_equal(tree_edit_chown(t, "/none", owner, false, &err), -1);
	tree_free(t);
}

static void expect_owner(const struct tree *t, const char *text, uint32_t uid, uint32_t gid)
{
	struct error err = ERROR_INIT;
	struct tree_edit_owner owner = {99, 99};

	if (tree_edit_owner(t, text, &owner, &err))
		fail_msg("%s", err.text);
	assert_int_equal(owner.uid, uid);
	assert_int_equal(owner.gid, gid);
}

static void test_owner(void **state)
{
	static const char *const bad[] = {"", ":", "root:", ":adm", "nobody", "root:nogroup",
		"broken", "4294967295", "99999999999", "1:2:3", "ww", "www-data:x", "roo"};
	struct error err = ERROR_INIT;
	struct tree_edit_owner owner;
	struct tree *t = sample();

	(void)state;
	expect_owner(t, "root", 0, 0);
	expect_owner(t, "www-data", 33, 34);
	expect_owner(t, "www", 1, 1);
	expect_owner(t, "last", 7, 8);
	expect_owner(t, "www-data:adm", 33, 4);
	expect_owner(t, "1000:1001", 1000, 1001);
	expect_owner(t, "1000", 1000, 1000);
	expect_owner(t, "0:adm", 0, 4);
	expect_owner(t, "4294967294", 4294967294u, 4294967294u);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(tree_edit_owner(t, bad[i], &owner, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
	}
	assert_int_equal(tree_edit_remove(t, "/etc/passwd", false, &err), 0);
	assert_int_equal(tree_edit_owner(t, "root", &owner, &err), -1);
	tree_free(t);
}

/* A bit of everything that allocates. */
static int all_steps(struct tree *t, struct error *err)
{
	const struct tree_edit_owner owner = {1, 2};
	struct tree_edit_owner found;
	tree_node node;

	if (tree_edit_write(t, "/etc/passwd", "u:x:5:6::/:\n", 12, 0644, owner, 0, err) ||
		tree_edit_mkdir(t, "/usr/lib", 0755, owner, 0, err) ||
		tree_edit_symlink(t, "/lib", "usr/lib", owner, 0, err) ||
		tree_edit_write(t, "/lib/a", "a", 1, 0644, owner, 0, err) ||
		tree_edit_write(t, "/lib/b", "b", 1, 0644, owner, 0, err) ||
		tree_lookup(t, "/lib/a", true, &node, err) ||
		tree_set_xattr(t, node, "user.a", "1", 1, err) ||
		tree_set_xattr(t, node, "user.b", "2", 1, err) ||
		tree_link(t, TREE_ROOT, "hard", 4, node, &node, err) ||
		tree_edit_owner(t, "u", &found, err) ||
		tree_edit_chown(t, "/l*/?", found, true, err) ||
		tree_edit_remove(t, "/lib/[b]", false, err))
		return -1;
	return tree_finish(t, 0, err);
}

static int torture_one(struct error *err)
{
	struct tree *t = tree_new("/tmp", err);
	int status = t ? all_steps(t, err) : -1;

	tree_free(t);
	return status;
}

static void test_out_of_memory(void **state)
{
	(void)state;
	assert_true(allocfail_torture(torture_one));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_mkdir),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_nested),
		cmocka_unit_test(test_chmod),
		cmocka_unit_test(test_chown),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
