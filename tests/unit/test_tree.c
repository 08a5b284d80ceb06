/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree: layers, links, contents, extended attributes, paths, and an order that is a function
 * of names.
 */
#include "fs/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/treedump.h"

/* A source whose byte at off of content id is a function of both. */
static int pattern_pread(struct source *src, uint64_t id, void *buf, size_t len, uint64_t off,
	struct error *err)
{
	unsigned char *to = buf;

	(void)src;
	(void)err;
	for (size_t i = 0; i < len; i++)
		to[i] = (unsigned char)(id * 31 + (off + i) * 7 + 1);
	return 0;
}

static const struct source_ops pattern_ops = {.name = "pattern", .pread = pattern_pread};
static struct source pattern = {.ops = &pattern_ops};

static struct tree *new_tree(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	assert_int_equal(tree_take_source(t, &pattern, &err), 0);
	return t;
}

static tree_node add(struct tree *t, tree_node dir, const char *name, uint32_t mode)
{
	struct tree_attr attr = {.mode = mode, .target = "there", .mtime = 100, .mtime_ns = 5,
		.size = S_ISREG(mode) ? 1000 : 0};
	struct error err = ERROR_INIT;
	tree_node node;

	assert_int_equal(tree_add(t, dir, name, strlen(name), &attr, &node, &err), 0);
	return node;
}

static tree_node add_link(struct tree *t, tree_node dir, const char *name, const char *target)
{
	struct tree_attr attr = {.mode = S_IFLNK | 0777, .target = target};
	struct error err = ERROR_INIT;
	tree_node node;

	assert_int_equal(tree_add(t, dir, name, strlen(name), &attr, &node, &err), 0);
	return node;
}

static void add_piece(struct tree *t, tree_node node, uint64_t off, uint64_t len, uint64_t id,
	uint64_t src_off)
{
	struct tree_piece piece = {off, len, &pattern, id, src_off};
	struct error err = ERROR_INIT;

	assert_int_equal(tree_add_piece(t, node, &piece, &err), 0);
}

static tree_node lookup(const struct tree *t, const char *path, bool follow)
{
	struct error err = ERROR_INIT;
	tree_node node;

	assert_int_equal(tree_lookup(t, path, follow, &node, &err), 0);
	return node;
}

static void finish(struct tree *t, int64_t epoch)
{
	struct error err = ERROR_INIT;

	assert_int_equal(tree_finish(t, epoch, &err), 0);
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/"};
	struct tree *t = new_tree();
	struct tree_attr attr = {.mode = S_IFREG | 0644};
	struct error err = ERROR_INIT;
	char name[300];
	tree_node node;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(
			tree_add(t, TREE_ROOT, bad[i], strlen(bad[i]), &attr, &node, &err), -1);
	assert_int_equal(tree_add(t, TREE_ROOT, "a\0b", 3, &attr, &node, &err), -1);
	memset(name, 'n', sizeof(name));
	assert_int_equal(tree_add(t, TREE_ROOT, name, 255, &attr, &node, &err), 0);
	assert_int_equal(tree_child(t, TREE_ROOT, name, 255), node);
	assert_int_equal(tree_child(t, TREE_ROOT, name, 254), TREE_NONE);
	assert_int_equal(tree_add(t, TREE_ROOT, name, 256, &attr, &node, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(tree_add(t, TREE_ROOT, "...", 3, &attr, &node, &err), 0);
	assert_int_equal(tree_nr_nodes(t), 3);
	tree_free(t);
}

static void test_attributes(void **state)
{
	struct tree *t = new_tree();
	struct tree_attr attr = {.mode = S_IFCHR | 04640, .uid = UINT32_MAX - 1, .gid = 7,
		.mtime = -5, .mtime_ns = 999999999, .rdev_major = 4095, .rdev_minor = 0xfffff};
	struct error err = ERROR_INIT;
	struct tree_attr got;
	tree_node node;

	(void)state;
	assert_int_equal(tree_add(t, TREE_ROOT, "d", 1, &attr, &node, &err), 0);
	tree_get(t, node, &got);
	assert_int_equal(got.mode, S_IFCHR | 04640);
	assert_int_equal(got.uid, UINT32_MAX - 1);
	assert_int_equal(got.gid, 7);
	assert_true(got.mtime == -5 && got.mtime_ns == 999999999);
	assert_int_equal(got.rdev_major, 4095);
	assert_int_equal(got.rdev_minor, 0xfffff);
	assert_int_equal(got.nlink, 1);
	attr.mtime_ns++;
	assert_int_equal(tree_add(t, TREE_ROOT, "e", 1, &attr, &node, &err), -1);
	attr = (struct tree_attr){.mode = S_IFSOCK | 0644};
	assert_int_equal(tree_add(t, TREE_ROOT, "e", 1, &attr, &node, &err), -1);
	attr = (struct tree_attr){.mode = S_IFLNK | 0777, .target = ""};
	assert_int_equal(tree_add(t, TREE_ROOT, "e", 1, &attr, &node, &err), -1);
	assert_int_equal(tree_child(t, TREE_ROOT, "e", 1), TREE_NONE);
	tree_free(t);
}

static void test_layers(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	struct tree_attr got;
	tree_node etc = add(t, TREE_ROOT, "etc", S_IFDIR | 0755);
	tree_node file = add(t, etc, "file", S_IFREG | 0600);

	(void)state;
	add_piece(t, file, 0, 1000, 1, 0);
	assert_int_equal(tree_set_xattr(t, etc, "user.a", "1", 1, &err), 0);
	/* A directory over a directory keeps what is in it. */
	assert_int_equal(add(t, TREE_ROOT, "etc", S_IFDIR | 0700), etc);
	tree_get(t, etc, &got);
	assert_int_equal(got.mode, S_IFDIR | 0700);
	assert_true(treedump_same_xattrs(t, etc, TREE_ROOT));
	assert_int_equal(lookup(t, "/etc/file", false), file);
	/* A file over a file drops the old content. */
	add(t, etc, "file", S_IFREG | 0644);
	assert_int_equal(treedump_data_bytes(t, lookup(t, "/etc/file", false)), 0);
	/* A file over a directory drops all below. */
	add(t, etc, "sub", S_IFDIR | 0755);
	add(t, lookup(t, "etc/sub", false), "deep", S_IFREG | 0644);
	assert_int_equal(tree_nr_nodes(t), 5);
	add(t, TREE_ROOT, "etc", S_IFREG | 0644);
	assert_int_equal(tree_nr_nodes(t), 2);
	assert_int_equal(tree_nr_inodes(t), 2);
	assert_int_equal(lookup(t, "/etc/file", false), TREE_NONE);
	tree_free(t);
}

static void test_hard_links(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	struct tree_attr got;
	tree_node d = add(t, TREE_ROOT, "d", S_IFDIR | 0755);
	tree_node a = add(t, d, "a", S_IFREG | 0644);
	tree_node b;

	(void)state;
	add_piece(t, a, 0, 10, 3, 0);
	assert_int_equal(tree_link(t, TREE_ROOT, "x", 1, d, &b, &err), -1);
	assert_int_equal(tree_link(t, TREE_ROOT, "b", 1, a, &b, &err), 0);
	tree_get(t, b, &got);
	assert_int_equal(got.nlink, 2);
	assert_int_equal(tree_nr_inodes(t), 3);
	tree_remove(t, a);
	tree_get(t, b, &got);
	assert_int_equal(got.nlink, 1);
	assert_int_equal(treedump_data_bytes(t, b), 10);
	/* A link to itself changes nothing. */
	assert_int_equal(tree_link(t, TREE_ROOT, "b", 1, b, &a, &err), 0);
	assert_int_equal(a, b);
	/* A link may replace the very directory that its target is in. */
	assert_int_equal(tree_link(t, d, "in", 2, b, &a, &err), 0);
	tree_remove(t, b);
	assert_int_equal(tree_link(t, TREE_ROOT, "d", 1, a, &b, &err), 0);
	tree_get(t, b, &got);
	assert_int_equal(got.nlink, 1);
	assert_int_equal(got.size, 1000);
	assert_int_equal(tree_nr_pieces(t, b), 1);
	assert_int_equal(tree_nr_nodes(t), 2);
	tree_remove(t, b);
	assert_int_equal(tree_nr_inodes(t), 1);
	tree_free(t);
}

static void check_content(const struct tree *t, tree_node node, const unsigned char *want,
	size_t size)
{
	struct error err = ERROR_INIT;
	unsigned char got[2000];

	assert_true(size <= sizeof(got));
	for (size_t off = 0; off < size; off += 97)
		for (size_t len = 1; off + len <= size; len += 89) {
			assert_int_equal(tree_pread(t, node, got, len, off, &err), 0);
			assert_memory_equal(got, want + off, len);
		}
}

/* Two files grow in turn, so that their runs have to move. */
static void test_pieces(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	tree_node files[2] = {
		add(t, TREE_ROOT, "a", S_IFREG | 0644), add(t, TREE_ROOT, "b", S_IFREG | 0644)};
	unsigned char want[2][1000] = {{0}, {0}};
	struct tree_piece piece;

	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		for (unsigned f = 0; f < 2; f++) {
			add_piece(t, files[f], i * 20 + f, 10, i + f, i);
			pattern_pread(NULL, i + f, &want[f][i * 20 + f], 10, i, &err);
		}
	for (unsigned f = 0; f < 2; f++) {
		assert_int_equal(tree_nr_pieces(t, files[f]), 50);
		check_content(t, files[f], want[f], 1000);
	}
	assert_int_equal(treedump_data_bytes(t, files[0]), 500);
	assert_int_equal(treedump_data_bytes(t, files[1]), 500);
	/* What adjoins is one piece. */
	assert_int_equal(tree_set_size(t, files[0], 100, &err), 0);
	assert_int_equal(treedump_data_bytes(t, files[0]), 0);
	add_piece(t, files[0], 0, 10, 1, 5);
	add_piece(t, files[0], 10, 10, 1, 15);
	add_piece(t, files[0], 20, 10, 1, 26);
	add_piece(t, files[0], 30, 0, 2, 0);
	assert_int_equal(tree_nr_pieces(t, files[0]), 2);
	tree_piece(t, files[0], 0, &piece);
	assert_true(piece.len == 20 && piece.src_off == 5 && piece.src == &pattern);
	piece = (struct tree_piece){29, 1, &pattern, 1, 0};
	assert_int_equal(tree_add_piece(t, files[0], &piece, &err), -1); /* overlap */
	piece = (struct tree_piece){99, 2, &pattern, 1, 0};
	assert_int_equal(tree_add_piece(t, files[0], &piece, &err), -1); /* behind the end */
	assert_int_equal(tree_pread(t, files[0], want, 2, 99, &err), -1);
	tree_free(t);
}

static void set_xattr(struct tree *t, tree_node node, const char *name, const char *value)
{
	struct error err = ERROR_INIT;

	assert_int_equal(tree_set_xattr(t, node, name, value, strlen(value), &err), 0);
}

static void test_xattrs(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	tree_node a = add(t, TREE_ROOT, "a", S_IFREG | 0644);
	tree_node b = add(t, TREE_ROOT, "b", S_IFREG | 0644);
	char big[70000] = {0};
	const char *name;
	const void *value;
	size_t len;

	(void)state;
	set_xattr(t, a, "user.z", "1");
	set_xattr(t, a, "security.capability", "cap");
	set_xattr(t, a, "user.m", "");
	set_xattr(t, b, "user.m", "");
	set_xattr(t, b, "security.capability", "old");
	set_xattr(t, b, "user.z", "1");
	assert_false(treedump_same_xattrs(t, a, b));
	set_xattr(t, b, "security.capability", "cap");
	assert_true(treedump_same_xattrs(t, a, b));
	assert_true(tree_xattr(t, b, 0, &name, &value, &len));
	assert_string_equal(name, "security.capability");
	assert_true(len == 3 && !memcmp(value, "cap", 3));
	assert_true(tree_xattr(t, b, 1, &name, &value, &len));
	assert_true(!strcmp(name, "user.m") && len == 0);
	assert_true(tree_xattr(t, b, 2, &name, &value, &len));
	assert_false(tree_xattr(t, b, 3, &name, &value, &len));
	assert_int_equal(tree_set_xattr(t, a, "user.big", big, 65537, &err), -1);
	assert_int_equal(tree_set_xattr(t, a, "", big, 1, &err), -1);
	assert_int_equal(tree_set_xattr(t, a, "user.big", big, 65536, &err), 0);
	tree_clear_xattrs(t, a);
	assert_false(tree_xattr(t, a, 0, &name, &value, &len));
	assert_true(tree_xattr(t, b, 0, &name, &value, &len));
	tree_free(t);
}

/* Many sets, so that table and free list are used for real. */
static void test_many_xattr_sets(void **state)
{
	struct tree *t = new_tree();
	tree_node nodes[500];
	char name[16], value[16];
	const char *got_name;
	const void *got;
	size_t len;

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		nodes[i] = add(t, TREE_ROOT, name, S_IFREG | 0644);
	}
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 500; i++) {
			snprintf(value, sizeof(value), "%d", (i + round) / 2);
			set_xattr(t, nodes[i], "user.n", value);
		}
	for (int i = 0; i < 500; i++) {
		snprintf(value, sizeof(value), "%d", (i + 2) / 2);
		assert_true(tree_xattr(t, nodes[i], 0, &got_name, &got, &len));
		assert_true(len == strlen(value) && !memcmp(got, value, len));
		assert_int_equal(treedump_same_xattrs(t, nodes[i], nodes[i ^ 1]), 1);
	}
	tree_free(t);
}

static void test_lookup(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	tree_node usr = add(t, TREE_ROOT, "usr", S_IFDIR | 0755);
	tree_node bin = add(t, usr, "bin", S_IFDIR | 0755);
	tree_node env = add(t, bin, "env", S_IFREG | 0755);
	tree_node link = add_link(t, TREE_ROOT, "bin", "usr/bin");
	tree_node node;

	(void)state;
	add_link(t, usr, "up", "../../../../usr/./bin/");
	add_link(t, usr, "abs", "/bin/env");
	add_link(t, usr, "loop", "loop2");
	add_link(t, usr, "loop2", "/usr/loop");
	add_link(t, usr, "dangling", "nowhere");
	assert_int_equal(lookup(t, "/", false), TREE_ROOT);
	assert_int_equal(lookup(t, "", false), TREE_ROOT);
	assert_int_equal(lookup(t, "../..", false), TREE_ROOT);
	assert_int_equal(lookup(t, "//usr///bin/env", false), env);
	assert_int_equal(lookup(t, "bin", false), link);
	assert_int_equal(lookup(t, "bin", true), bin);
	assert_int_equal(lookup(t, "bin/env", false), env);
	assert_int_equal(lookup(t, "bin/..", false), usr);
	assert_int_equal(lookup(t, "usr/up/env", false), env);
	assert_int_equal(lookup(t, "usr/abs", true), env);
	assert_int_equal(lookup(t, "usr/dangling", true), TREE_NONE);
	assert_int_equal(lookup(t, "usr/bin/env/x", false), TREE_NONE);
	assert_int_equal(lookup(t, "usr/bin/env/..", false), TREE_NONE);
	assert_int_equal(lookup(t, "usr/bin/no", false), TREE_NONE);
	assert_int_equal(tree_lookup(t, "usr/loop", true, &node, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_not_equal(lookup(t, "usr/loop", false), TREE_NONE);
	tree_free(t);
}

static void test_make_parents(void **state)
{
	static const char *const bad[] = {"", "/", "a/..", "a/.", "usr/file/x"};
	struct tree *t = new_tree();
	struct tree_attr attr = {.mode = 0751, .uid = 3, .gid = 4, .mtime = 9};
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf path = BUF_INIT(0);
	const char *name;
	tree_node dir, usr;
	size_t len;

	(void)state;
	usr = add(t, TREE_ROOT, "usr", S_IFDIR | 0755);
	add(t, usr, "file", S_IFREG | 0644);
	add_link(t, TREE_ROOT, "lib", "usr/lib");
	assert_int_equal(
		tree_make_parents(t, "lib/a/../b/name//", &attr, &dir, &name, &len, &err), 0);
	assert_int_equal(len, 4);
	assert_memory_equal(name, "name", 4);
	assert_int_equal(tree_path(t, dir, &path, &err), 0);
	assert_string_equal(buf_str(&path), "/usr/lib/b");
	tree_get(t, dir, &attr);
	assert_int_equal(attr.mode, S_IFDIR | 0751);
	assert_true(attr.uid == 3 && attr.gid == 4 && attr.mtime == 9);
	assert_int_equal(tree_make_parents(t, "x", &attr, &dir, &name, &len, &err), 0);
	assert_int_equal(dir, TREE_ROOT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(tree_make_parents(t, bad[i], &attr, &dir, &name, &len, &err), -1);
	tree_free(t);
}

static void test_finish(void **state)
{
	struct tree *t = new_tree();
	struct tree_attr attr;
	tree_node late = add(t, TREE_ROOT, "late", S_IFREG | 0644);
	tree_node early = add(t, TREE_ROOT, "early", S_IFREG | 0644);

	(void)state;
	tree_set_mtime(t, late, 101, 7);
	tree_set_mtime(t, early, 99, 7);
	finish(t, 100);
	tree_get(t, late, &attr);
	assert_true(attr.mtime == 100 && attr.mtime_ns == 0);
	tree_get(t, early, &attr);
	assert_true(attr.mtime == 99 && attr.mtime_ns == 7);
	assert_int_equal(attr.inode, 1);
	assert_int_equal(tree_first_child(t, TREE_ROOT), early);
	assert_int_equal(tree_next_sibling(t, early), late);
	assert_int_equal(tree_next_sibling(t, late), TREE_NONE);
	tree_free(t);
}

enum { NR_SHUFFLED = 2000 };

static unsigned rnd(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 8) % below;
}

/*
 * File i of the shuffled tree: names that are each other's prefixes, three to an inode now and
 * then.
 */
static void add_shuffled(struct tree *t, tree_node dir, unsigned i, tree_node *first)
{
	struct error err = ERROR_INIT;
	char name[32];
	tree_node node;

	snprintf(name, sizeof(name), "%c%.*s\xff%u", 'a' + i % 3, (int)(i % 13), "xxxxxxxxxxxxx",
		i / 7);
	if (i % 50 < 3 && *first != TREE_NONE) {
		assert_int_equal(tree_link(t, dir, name, strlen(name), *first, &node, &err), 0);
		return;
	}
	node = add(t, dir, name, S_IFREG | 0644);
	add_piece(t, node, 0, 1000, i / 50 * (i % 50 < 3), 0);
	set_xattr(t, node, "user.n", i % 3 ? "a" : "b");
	if (i % 50 < 3) {
		tree_set_mtime(t, node, i / 50, 0);
		set_xattr(t, node, "user.n", "linked");
		*first = node;
	}
}

static void build_shuffled(struct tree *t, unsigned seed, struct buf *out)
{
	static unsigned order[NR_SHUFFLED];
	tree_node first[NR_SHUFFLED / 50];
	struct error err = ERROR_INIT;
	tree_node dirs[5];
	char name[8];

	for (unsigned i = 0; i < 5; i++) {
		unsigned j = seed % 2 ? i : 4 - i;

		snprintf(name, sizeof(name), "d%u", j);
		dirs[j] = add(t, TREE_ROOT, name, S_IFDIR | 0755);
	}
	for (unsigned i = 0; i < NR_SHUFFLED; i++) {
		unsigned j = rnd(&seed, i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	memset(first, 0xff, sizeof(first));
	for (unsigned i = 0; i < NR_SHUFFLED; i++) {
		/* Junk that comes and goes makes slots to be used again. */
		tree_node junk = add(t, dirs[order[i] % 5], "junk", S_IFREG | 0600);

		add_shuffled(t, dirs[order[i] % 5], order[i], &first[order[i] / 50]);
		tree_remove(t, junk);
	}
	finish(t, INT64_MAX);
	assert_int_equal(treedump(t, out, &err), 0);
}

static void test_order_vanishes(void **state)
{
	CLEANUP_BUF struct buf want = BUF_INIT(0);

	(void)state;
	for (unsigned seed = 1; seed < 6; seed++) {
		CLEANUP_BUF struct buf got = BUF_INIT(0);
		struct tree *t = new_tree();

		build_shuffled(t, seed, seed == 1 ? &want : &got);
		if (seed > 1)
			assert_string_equal(buf_str(&got), buf_str(&want));
		assert_int_equal(tree_nr_nodes(t), NR_SHUFFLED + 6);
		tree_free(t);
	}
}

static void test_deep_tree(void **state)
{
	struct tree *t = new_tree();
	tree_node node = TREE_ROOT;

	(void)state;
	for (int i = 0; i < 100000; i++)
		node = add(t, node, "d", S_IFDIR | 0755);
	finish(t, 0);
	tree_remove(t, tree_child(t, TREE_ROOT, "d", 1));
	assert_int_equal(tree_nr_nodes(t), 1);
	assert_int_equal(tree_nr_inodes(t), 1);
	tree_free(t);
}

static void test_spool(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = new_tree();
	struct spool *spool = tree_spool(t, &err);
	tree_node node = add(t, TREE_ROOT, "a", S_IFREG | 0644);
	struct tree_piece piece = {.off = 990, .len = 5};
	char got[10];

	(void)state;
	assert_non_null(spool);
	assert_ptr_equal(tree_spool(t, &err), spool);
	assert_int_equal(spool_append(spool, "hello", 5, &piece.src_off, &err), 0);
	piece.src = spool_source(spool);
	assert_int_equal(tree_add_piece(t, node, &piece, &err), 0);
	finish(t, 0);
	assert_int_equal(tree_pread(t, node, got, 10, 990, &err), 0);
	assert_memory_equal(got, "hello\0\0\0\0\0", 10);
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_layers),
		cmocka_unit_test(test_hard_links),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_xattrs),
		cmocka_unit_test(test_many_xattr_sets),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_make_parents),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_order_vanishes),
		cmocka_unit_test(test_deep_tree),
		cmocka_unit_test(test_spool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
