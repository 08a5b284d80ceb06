/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one file of a tree: through links, nothing there, no file, too long. */
#include "fs/tree_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fs/tree_edit.h"

static const struct tree_edit_owner root = {0, 0};

/* "/etc/name" of 5 bytes, "/etc/empty", link -> etc/name, gone -> nowhere, loop -> loop. */
static struct tree *sample(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	assert_int_equal(tree_edit_write(t, "/etc/name", "hello", 5, 0644, root, 42, &err), 0);
	assert_int_equal(tree_edit_write(t, "/etc/empty", "", 0, 0644, root, 42, &err), 0);
	assert_int_equal(tree_edit_symlink(t, "/link", "etc/name", root, 42, &err), 0);
	assert_int_equal(tree_edit_symlink(t, "/gone", "nowhere", root, 42, &err), 0);
	assert_int_equal(tree_edit_symlink(t, "/loop", "loop", root, 42, &err), 0);
	return t;
}

static void reads(void **state)
{
	struct tree *t = sample();
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf out = BUF_INIT(64);
	bool found;

	(void)state;
	assert_int_equal(buf_add_str(&out, "> ", &err), 0);
	assert_int_equal(tree_read_file(t, "/link", 5, &out, &found, &err), 0);
	assert_true(found);
	assert_string_equal(buf_str(&out), "> hello");
	assert_int_equal(tree_read_file(t, "/etc/empty", 5, &out, &found, &err), 0);
	assert_true(found);
	assert_int_equal(out.len, 7);
	tree_free(t);
}

static void nothing_to_read(void **state)
{
	static const char *const paths[] = {"/none", "/gone", "/etc", "/etc/name/below"};
	struct tree *t = sample();
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf out = BUF_INIT(64);
	uint64_t size = 7;
	tree_node node;
	bool found = true;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		assert_int_equal(tree_read_file(t, paths[i], 5, &out, &found, &err), 0);
		assert_false(found);
		assert_int_equal(tree_find_file(t, paths[i], &node, &size, &err), 0);
		assert_int_equal(node, TREE_NONE);
	}
	assert_int_equal(size, 7);
	assert_int_equal(out.len, 0);
	tree_free(t);
}

static void refuses(void **state)
{
	struct tree *t = sample();
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf out = BUF_INIT(64);
	bool found = true;

	(void)state;
	assert_int_equal(tree_read_file(t, "/link", 4, &out, &found, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "'/link' of the tree has 5 bytes"));
	assert_false(found);
	error_clear(&err);
	assert_int_equal(tree_read_file(t, "/loop", 4, &out, &found, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(nothing_to_read),
		cmocka_unit_test(refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
