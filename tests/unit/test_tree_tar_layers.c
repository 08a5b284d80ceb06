/* SPDX-License-Identifier: Apache-2.0 */
/* Tar archives as layers: what an entry does to what an earlier archive left in its place. */
#include "fs/tree_tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/tarmaker.h"

static struct tree_attr attr_of(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	struct tree_attr attr;
	tree_node node;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	if (node == TREE_NONE)
		fail_msg("no '%s' in the tree", path);
	tree_get(t, node, &attr);
	return attr;
}

static void add_layer(struct tree *t, struct buf *b)
{
	struct error err = ERROR_INIT;

	if (tree_tar_add_mem(t, b->data, b->len, "layer.tar", NULL, &err) < 0)
		fail_msg("%s", err.text);
	buf_release(b);
}

/* As on a system with a merged /usr: the directory goes where the link of before leads. */
static void test_directory_over_link(void **state)
{
	struct buf b;
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(getenv("TMPDIR"), &err);

	(void)state;
	assert_non_null(t);
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "usr/lib/", .type = '5', .mode = 0755});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "usr/lib/old", .content = "stays"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib", .type = '2', .link = "usr/lib"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib64", .type = '2', .link = "/lib"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "usr/up", .type = '2', .link = "../usr/lib"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "nowhere", .type = '2', .link = "gone"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "loop", .type = '2', .link = "loop"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "to-file", .type = '2', .link = "lib/old"});
	tarmaker_end(&b);
	add_layer(t, &b);

	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib64/", .type = '5', .mode = 0700, .uid = 7});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "lib64/new", .content = "came"});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "usr/up/", .type = '5', .mode = 0711});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "nowhere/", .type = '5'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "loop/", .type = '5'});
	tarmaker_add(&b, (struct tarmaker_entry){.name = "to-file/", .type = '5'});
	tarmaker_end(&b);
	add_layer(t, &b);
	assert_true(S_ISLNK(attr_of(t, "lib").mode));
	assert_true(S_ISLNK(attr_of(t, "lib64").mode));
	assert_true(S_ISLNK(attr_of(t, "usr/up").mode));
	assert_int_equal(attr_of(t, "usr/lib/old").size, strlen("stays"));
	assert_int_equal(attr_of(t, "usr/lib/new").size, strlen("came"));
	assert_int_equal(attr_of(t, "usr/lib").mode, S_IFDIR | 0711);
	assert_true(S_ISDIR(attr_of(t, "nowhere").mode));
	assert_true(S_ISDIR(attr_of(t, "loop").mode));
	assert_true(S_ISDIR(attr_of(t, "to-file").mode));
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directory_over_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
