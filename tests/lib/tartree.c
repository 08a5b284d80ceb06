/* SPDX-License-Identifier: Apache-2.0 */
/* Archives in a folder of the test's own, and trees of them. */
#include "tests/lib/tartree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/num.h"

static char dir[256];

int tartree_make(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/amiwright-tar-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

int tartree_shell(const char *command)
{
	char line[2000];

	snprintf(line, sizeof(line), "cd '%s' && %s", dir, command);
	return system(line);
}

int tartree_remove(void **state)
{
	char line[300];

	(void)state;
	snprintf(line, sizeof(line), "rm -rf '%s'", dir);
	return system(line);
}

const char *tartree_path(const char *name)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

struct tree *tartree_new(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(dir, &err);

	assert_non_null(t);
	return t;
}

void tartree_write(const char *name, const struct buf *b)
{
	struct error err = ERROR_INIT;

	assert_int_equal(file_write_atomic(tartree_path(name), b->data, b->len, 0600, false, &err), 0);
}

int tartree_load(struct tree *t, struct buf *b, const struct tree_tar_opts *opts, struct error *err)
{
	struct tree *other = tartree_new();
	struct error other_err = ERROR_INIT;
	int r, other_r;

	tartree_write("x.tar", b);
	r = tree_tar_add(t, tartree_path("x.tar"), opts, err);
	other_r = tree_tar_add_mem(other, b->data, b->len, "x.tar", opts, &other_err);
	assert_int_equal(r, other_r);
	if (r == 0)
		assert_int_equal(tree_nr_nodes(t), tree_nr_nodes(other));
	tree_free(other);
	buf_release(b);
	return r;
}

tree_node tartree_find(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node = TREE_NONE;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	return node;
}

struct tree_attr tartree_attr(const struct tree *t, const char *path)
{
	struct tree_attr attr;
	tree_node node = tartree_find(t, path);

	if (node == TREE_NONE)
		fail_msg("no '%s' in the tree", path);
	tree_get(t, node, &attr);
	return attr;
}

void tartree_expect(struct tree *t, const char *path, const char *want)
{
	struct error err = ERROR_INIT;
	char got[200] = "";
	struct tree_attr attr = tartree_attr(t, path);

	assert_true(S_ISREG(attr.mode) && attr.size == strlen(want));
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	if (tree_pread(t, tartree_find(t, path), got, attr.size, 0, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(got, want);
}

void tartree_expect_refusal(struct buf *b, const char *what, const char *entry)
{
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	assert_int_equal(tartree_load(t, b, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	if (!strstr(err.text, what) || !strstr(err.text, entry) || !strstr(err.text, "x.tar"))
		fail_msg("'%s' does not say '%s' of '%s'", err.text, what, entry);
	tree_free(t);
}
