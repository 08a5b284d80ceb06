/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest: packages from dpkg's record, block digests, inputs; and that it is the same twice. */
#include "builder/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/num.h"
#include "fs/tree_edit.h"

static const char status[] =
	"Package: libc6\nStatus: install ok installed\nMulti-Arch: same\nArchitecture: amd64\n"
	"Version: 2.36-9\nDescription: text\n Package: not this\n\n"
	"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all\n\n\n"
	"Package: held\nStatus: hold ok installed\nVersion: 1:2~rc\nArchitecture: all";

static void test_packages(void **state)
{
	CLEANUP(json_cleanup) struct json *list = NULL;
	struct error err;

	(void)state;
	list = manifest_parse_packages(status, &err);
	assert_non_null(list);
	assert_int_equal(json_length(list), 2);
	assert_string_equal(json_get_str(json_at(list, 0), "name", ""), "libc6");
	assert_string_equal(json_get_str(json_at(list, 0), "version", ""), "2.36-9");
	assert_string_equal(json_get_str(json_at(list, 0), "architecture", ""), "amd64");
	assert_string_equal(json_get_str(json_at(list, 1), "version", ""), "1:2~rc");
}

static void test_packages_of_odd_texts(void **state)
{
	static const char *const texts[] = {"", "\n\n\n", "Package", "Package:", "Package: x\nStatus:",
		"Status: install ok installed\n", "Package: x\nStatus: ok\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct error err;
		struct json *list = manifest_parse_packages(texts[i], &err);

		assert_non_null(list);
		assert_int_equal(json_length(list), 0);
		json_free(list);
	}
}

static void test_blocks(void **state)
{
	struct manifest_blocks blocks = {0};
	uint8_t digest[SHA256_SIZE], all[3000 * SHA256_SIZE], expected[SHA256_SIZE];
	struct error err;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		memset(digest, (int)i, sizeof(digest));
		memcpy(all + i * SHA256_SIZE, digest, sizeof(digest));
		assert_int_equal(manifest_add_block(&blocks, i * 2, digest, &err), 0);
	}
	assert_int_equal(blocks.nr, 3000);
	assert_int_equal(blocks.items[2999].index, 5998);
	assert_int_equal(manifest_aggregate(&blocks, digest, &err), 0);
	assert_int_equal(sha256(all, sizeof(all), expected, &err), 0);
	assert_memory_equal(digest, expected, sizeof(digest));
	manifest_blocks_release(&blocks);
}

/* A whole build by hand in a folder; the manifest's text is the caller's. */
static char *manifest_in(const char *dir)
{
	static const char spec[] = "name: m\nversion: \"1\"\narchitecture: x86_64\nepoch: 5\n"
				   "root:\n  - tar: in.tar\n  - write: {path: /f, from: in.tar}\n"
				   "disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\n";
	struct manifest_blocks blocks = {0};
	struct plan_opts opts = {.epoch = 5, .salt = ""};
	CLEANUP_FREE char *path = NULL, *tar = NULL;
	struct diag diag = {0};
	struct build b = {0};
	struct buf text = BUF_INIT(0);
	static const char zeros[10240];
	uint8_t digest[SHA256_SIZE] = {1};
	struct json *doc;
	struct error err = ERROR_INIT;
	char *result;

	path = file_join(dir, "s.yaml", &err);
	tar = file_join(dir, "in.tar", &err);
	assert_int_equal(file_write_atomic(path, spec, strlen(spec), 0644, false, &err), 0);
	assert_int_equal(file_write_atomic(tar, zeros, sizeof(zeros), 0644, false, &err), 0);
	assert_int_equal(spec_read(&b.spec, path, &diag, &err), 0);
	b.tree = tree_new(dir, &err);
	assert_non_null(b.tree);
	assert_int_equal(tree_edit_write(b.tree, "/var/lib/dpkg/status", status, strlen(status), 0644,
				 (struct tree_edit_owner){0, 0}, 5, &err), 0);
	assert_int_equal(plan_make(&b.plan, &b.spec, b.tree, &opts, &diag, &err), 0);
	assert_int_equal(manifest_add_block(&blocks, 7, digest, &err), 0);
	doc = manifest_make(&b, &blocks, &err);
	assert_non_null(doc);
	assert_int_equal(json_write(doc, true, &text, &err), 0);
	result = buf_steal(&text, &err);
	json_free(doc);
	manifest_blocks_release(&blocks);
	build_release(&b);
	diag_release(&diag);
	assert_int_equal(unlink(path) | unlink(tar), 0);
	return result;
}

static char *manifest_in_new_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char dir[4096];
	char *text;

	snprintf(dir, sizeof(dir), "%s/amiwright-manifest-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	text = manifest_in(dir);
	assert_int_equal(rmdir(dir), 0);
	return text;
}

static void test_whole(void **state)
{
	CLEANUP_FREE char *one = manifest_in_new_folder();
	CLEANUP_FREE char *two = manifest_in_new_folder();
	CLEANUP(json_cleanup) struct json *doc = NULL;
	const struct json *input, *disk;
	struct error err;

	(void)state;
	assert_string_equal(one, two);
	doc = json_parse(one, strlen(one), "manifest", &err);
	assert_non_null(doc);
	assert_int_equal(json_get_int(doc, "amiwright_manifest", 0), 1);
	assert_int_equal(json_get_int(doc, "epoch", 0), 5);
	assert_int_equal(json_length(json_get(doc, "inputs")), 2);
	input = json_at(json_get(doc, "inputs"), 0);
	assert_string_equal(json_get_str(input, "path", ""), "in.tar");
	/* sha256sum of 10240 zeros */
	assert_string_equal(json_get_str(input, "sha256", ""),
		"84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652");
	disk = json_at(json_get(doc, "disks"), 0);
	assert_int_equal(json_get_int(disk, "size", 0), GIB);
	assert_int_equal(json_get_int(json_get(disk, "blocks"), "count", 0), 1);
	assert_non_null(json_get(json_get(json_get(disk, "blocks"), "digests"), "7"));
	assert_int_equal(json_length(json_get(doc, "packages")), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packages),
		cmocka_unit_test(test_packages_of_odd_texts),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
