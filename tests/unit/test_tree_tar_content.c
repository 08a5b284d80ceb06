/* SPDX-License-Identifier: Apache-2.0 */
/* Contents of archives: damaged, compressed, from a pipe, sparse, by reference to an archive that may change. */
#include "fs/tree_tar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/num.h"
#include "tests/lib/tarmaker.h"
#include "tests/lib/tartree.h"
#include "tests/lib/treedump.h"

static void test_damage_is_found(void **state)
{
	struct buf b, cut;
	struct error err = ERROR_INIT;
	struct tree *t;

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "one", .content = "1"});
	tarmaker_pax(&b, "path", "deux", 4);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "two", .content = "2"});
	tarmaker_end(&b);
	/* Wherever it is cut before the mark of the end, it is an error. */
	for (size_t len = 0; len < b.len - 1024; len += 256) {
		buf_init(&cut, 0);
		assert_int_equal(buf_add(&cut, b.data, len, &err), 0);
		t = tartree_new();
		if (tartree_load(t, &cut, NULL, &err) == 0)
			fail_msg("an archive that was cut at %zu was taken", len);
		assert_int_equal(err.kind, ERROR_INPUT);
		tree_free(t);
	}
	b.data[512 * 2 + 150] ^= 1;
	tartree_expect_refusal(&b, "damaged in or behind", "one");
}

static void test_content_that_ends_early(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "big", .size = 9 * GIB});
	tarmaker_put(&b, "x", 1);
	tartree_expect_refusal(&b, "cut off", "big");
	buf_init(&b, 0);
	tartree_expect_refusal(&b, "is no tar", "x.tar");
	buf_init(&b, 0);
	tarmaker_put(&b, "this is some text", 17);
	tarmaker_put(&b, "and some more", 13);
	tartree_expect_refusal(&b, "is no tar", "x.tar");
}

static void test_compressed_archives(void **state)
{
	static const char *const programs[] = {"gzip", "xz", "zstd", "bzip2", "lz4"};
	char command[400];
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(tartree_shell("mkdir -p c/d && seq 1 100000 >c/d/numbers && echo hello >c/hello && "
		"tar cf c.tar -b 2000 -C c ."), 0);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		struct tree *t = tartree_new();

		snprintf(command, sizeof(command), "command -v %s >/dev/null", programs[i]);
		if (tartree_shell(command) != 0)
			continue;
		snprintf(command, sizeof(command), "%s -c c.tar >c.z && "
			"head -c $(($(stat -c %%s c.z) - 3)) c.z >cut.z && "
			"head -c $(($(stat -c %%s c.z) / 2)) c.z >half.z", programs[i]);
		assert_int_equal(tartree_shell(command), 0);
		if (tree_tar_add(t, tartree_path("c.z"), NULL, &err) < 0)
			fail_msg("%s: %s", programs[i], err.text);
		tartree_expect(t, "hello", "hello\n");
		assert_int_equal(tartree_attr(t, "d/numbers").size, 588895);
		/*
		 * The last bytes lie behind all of the tar, and behind a megabyte of its padding.
		 */
		if (tree_tar_add(t, tartree_path("cut.z"), NULL, &err) == 0 && strcmp(programs[i], "lz4") != 0)
			fail_msg("%s that lacks 3 bytes was taken", programs[i]);
		assert_int_equal(tree_tar_add(t, tartree_path("half.z"), NULL, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		tree_free(t);
	}
}

static void test_pipe(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();
	FILE *pipe;
	char command[400];

	(void)state;
	snprintf(command, sizeof(command), "cd '%s' && mkdir -p p && echo piped >p/f && tar c -C p .",
		tartree_path("."));
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(tree_tar_add_fd(t, fileno(pipe), "pipe", NULL, &err), 0);
	assert_int_equal(pclose(pipe), 0);
	tartree_expect(t, "f", "piped\n");
	tree_free(t);
}

/* Sparse files in each of GNU tar's formats: holes stay holes, data is where it was. */
static void test_sparse_files(void **state)
{
	static const char *const formats[] = {"--format=gnu", "--format=pax --sparse-version=0.0",
		"--format=pax --sparse-version=0.1", "--format=pax --sparse-version=1.0"};
	char command[500], byte;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(tartree_shell("mkdir -p s && truncate -s 20M s/hole && truncate -s 9G s/sparse && "
		"for at in 1 40 41 300 70000; do echo here$at | "
		"dd of=s/sparse bs=64K seek=$at conv=notrunc status=none; done"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tree *t = tartree_new();
		tree_node node;
		struct tree_piece piece;
		char text[8];

		snprintf(command, sizeof(command), "tar cSf s.tar %s -C s . && gzip -c1 s.tar >s.tar.gz",
			formats[i]);
		assert_int_equal(tartree_shell(command), 0);
		for (int z = 0; z < 2; z++) {
			if (tree_tar_add(t, tartree_path(z ? "s.tar.gz" : "s.tar"), NULL, &err) < 0)
				fail_msg("%s: %s", formats[i], err.text);
			assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
			node = tartree_find(t, "sparse");
			assert_true(tartree_attr(t, "sparse").size == 9 * GIB);
			assert_int_equal(tartree_attr(t, "hole").size, 20 * MIB);
			assert_true(treedump_data_bytes(t, node) < MIB);
			assert_int_equal(tree_nr_pieces(t, tartree_find(t, "hole")), 0);
			tree_piece(t, node, 0, &piece);
			assert_int_equal(piece.off, 65536);
			assert_int_equal(tree_pread(t, node, text, 7, 300 * 65536, &err), 0);
			assert_memory_equal(text, "here300", 7);
			assert_int_equal(tree_pread(t, node, text, 8, UINT64_C(70000) * 65536, &err), 0);
			assert_memory_equal(text, "here7000", 8);
			assert_int_equal(tree_pread(t, node, &byte, 1, 9 * GIB - 1, &err), 0);
			assert_int_equal(byte, 0);
		}
		tree_free(t);
	}
}

/* GNU tar is the oracle for many files of all sizes: each byte is where it belongs. */
static void test_references_are_exact(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	assert_int_equal(tartree_shell("mkdir -p r && for i in 1 2 3 511 512 513 1023 1500 3000 4095 4096 4097 "
		"9000 70000 300000; do seq $i 999999 | head -c $i >r/$i; cp r/$i "
		"r/$i-$(printf %0150d $i); done; tar cf r.tar --format=pax -C r ."), 0);
	assert_int_equal(tree_tar_add(t, tartree_path("r.tar"), NULL, &err), 0);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	for (tree_node n = tree_first_child(t, TREE_ROOT); n != TREE_NONE; n = tree_next_sibling(t, n)) {
		struct tree_attr attr;
		struct buf want = BUF_INIT(0);
		char path[300];
		size_t len;
		char *got;

		buf_init(&want, 0);
		tree_get(t, n, &attr);
		snprintf(path, sizeof(path), "r/%s", tree_name(t, n, &len));
		assert_int_equal(file_read(tartree_path(path), &want, &err), 0);
		assert_int_equal(want.len, attr.size);
		if (tree_nr_pieces(t, n) != 1)
			fail_msg("%s of %zu bytes has %u pieces", path, want.len, tree_nr_pieces(t, n));
		got = malloc(want.len);
		assert_non_null(got);
		assert_int_equal(tree_pread(t, n, got, want.len, 0, &err), 0);
		assert_memory_equal(got, want.data, want.len);
		free(got);
		buf_release(&want);
	}
	assert_int_equal(tree_nr_nodes(t), 31);
	tree_free(t);
}

static void test_a_changed_archive_is_noticed(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();
	struct buf b;
	char text[5];

	(void)state;
	buf_init(&b, 0);
	tarmaker_add(&b, (struct tarmaker_entry){.name = "file", .content = "hello"});
	tarmaker_end(&b);
	tartree_write("y.tar", &b);
	buf_release(&b);
	assert_int_equal(tree_tar_add(t, tartree_path("y.tar"), NULL, &err), 0);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	assert_int_equal(tree_pread(t, tartree_find(t, "file"), text, 5, 0, &err), 0);
	assert_int_equal(tartree_shell("touch y.tar"), 0);
	assert_int_equal(tree_pread(t, tartree_find(t, "file"), text, 5, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "changed while it was read"));
	tree_free(t);
}

static void test_what_cannot_be_opened(void **state)
{
	struct error err = ERROR_INIT;
	struct tree *t = tartree_new();

	(void)state;
	assert_int_equal(tree_tar_add(t, tartree_path("missing.tar"), NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	assert_non_null(strstr(err.text, "missing.tar"));
	assert_int_equal(tree_tar_add(t, tartree_path("."), NULL, &err), -1);
	assert_non_null(strstr(err.text, "is a directory"));
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damage_is_found),
		cmocka_unit_test(test_content_that_ends_early),
		cmocka_unit_test(test_compressed_archives),
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_sparse_files),
		cmocka_unit_test(test_references_are_exact),
		cmocka_unit_test(test_a_changed_archive_is_noticed),
		cmocka_unit_test(test_what_cannot_be_opened),
	};

	return cmocka_run_group_tests(tests, tartree_make, tartree_remove);
}
