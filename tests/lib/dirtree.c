/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of the test's own, and trees of what is in it. */
#include "tests/lib/dirtree.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[256];

int dirtree_make(void **state)
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

int dirtree_remove(void **state)
{
	(void)state;
	return chdir("/") || nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void dirtree_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

struct tree *dirtree_scan(const char *path, const struct tree_dir_opts *opts)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	if (tree_dir_add(t, TREE_ROOT, path, opts, &err))
		fail_msg("%s", err.text);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	return t;
}

tree_node dirtree_find(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	assert_int_not_equal(node, TREE_NONE);
	return node;
}

void dirtree_get(const struct tree *t, const char *path, struct tree_attr *attr)
{
	tree_get(t, dirtree_find(t, path), attr);
}

void dirtree_expect_error(enum error_kind kind, const char *text)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	assert_int_equal(tree_dir_add(t, TREE_ROOT, "src", NULL, &err), -1);
	assert_int_equal(err.kind, kind);
	assert_non_null(strstr(err.text, text));
	tree_free(t);
}
