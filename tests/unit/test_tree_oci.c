/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCI images into a tree: where contents stay, references, cancelling, memory that runs out. What
 * images may hold is checked against other programs in tests/integration/test_oci.py.
 */
#include "fs/tree_oci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "tests/lib/allocfail.h"
#include "tests/lib/tarmaker.h"
#include "tests/lib/tmpdir.h"

static char *dir;
static char layout[300], bare[300];

static int make_dir(void **state)
{
	(void)state;
	log_set_fd(-1);
	dir = tmpdir_new();
	return dir ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	tmpdir_free(dir);
	return 0;
}

static void write_at(const char *name, const void *data, size_t len, unsigned mode)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/%s", dir, name);
	struct error err = ERROR_INIT;

	assert_non_null(path);
	assert_int_equal(file_write_atomic(path, data, len, mode, false, &err), 0);
}

/* A blob of the layout at `where`; its digest's digits. */
static const char *add_blob(const char *where, const void *data, size_t len)
{
	static char hex[4][SHA256_HEX_SIZE];
	static unsigned next;
	char *to = hex[next++ % 4], path[400];
	uint8_t digest[SHA256_SIZE];

	assert_int_equal(sha256(data, len, digest, NULL), 0);
	snprintf(path, sizeof(path), "%s/%s", where, hex_encode(to, digest, SHA256_SIZE));
	write_at(path, data, len, 0644);
	return to;
}

/* A manifest with the configuration that belongs to it; its length. */
static size_t make_manifest(const char *where, const char *diff_ids, const char *layers, char text[2000])
{
	size_t len = (size_t)snprintf(text, 2000, "{\"architecture\": \"amd64\", \"os\": \"linux\", "
		"\"rootfs\": {\"diff_ids\": [%s]}}", diff_ids);
	const char *config = add_blob(where, text, len);

	return (size_t)snprintf(text, 2000, "{\"schemaVersion\": 2, \"config\": {\"digest\": "
		"\"sha256:%s\", \"size\": %zu}, \"layers\": [%s]}", config, len, layers);
}

static void name_manifest(const char *name, const char *where, const char *manifest, size_t manifest_len)
{
	char path[300], text[2000];
	size_t len = (size_t)snprintf(text, sizeof(text), "{\"schemaVersion\": 2, \"manifests\": [{"
		"\"digest\": \"sha256:%s\", \"size\": %zu, \"annotations\": "
		"{\"org.opencontainers.image.ref.name\": \"tag\"}}]}",
		add_blob(where, manifest, manifest_len), manifest_len);

	snprintf(path, sizeof(path), "%s/index.json", name);
	write_at(path, text, len, 0644);
	snprintf(path, sizeof(path), "%s/oci-layout", name);
	write_at(path, "{\"imageLayoutVersion\": \"1.0.0\"}", 31, 0644);
}

/*
 * One image of one layer, not compressed, with the file "f" of two MiB. In a layout's form, or in
 * that of skopeo's "dir".
 */
static void make_image(const char *name, bool fetched)
{
	enum { SIZE = 2 << 20 };
	struct buf tar = BUF_INIT(0);
	char path[300], text[2000], where[300], diff_id[100], layer[400];
	CLEANUP_FREE char *content = malloc(SIZE + 1);
	const char *hex;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s/blobs/sha256", dir, name);
	assert_int_equal(file_mkdirs(path, 0755, NULL), 0);
	snprintf(where, sizeof(where), fetched ? "%s" : "%s/blobs/sha256", name);
	memset(content, 'x', SIZE);
	content[SIZE] = '\0';
	tarmaker_add(&tar, (struct tarmaker_entry){.name = "f", .content = content});
	tarmaker_end(&tar);
	hex = add_blob(where, tar.data, tar.len);
	snprintf(diff_id, sizeof(diff_id), "\"sha256:%s\"", hex);
	snprintf(layer, sizeof(layer), "{\"mediaType\": \"application/vnd.oci.image.layer.v1.tar\", "
		"\"digest\": %s, \"size\": %zu}", diff_id, tar.len);
	buf_release(&tar);
	len = make_manifest(where, diff_id, layer, text);
	snprintf(path, sizeof(path), "%s/manifest.json", name);
	if (fetched)
		write_at(path, text, len, 0644);
	else
		name_manifest(name, where, text, len);
}

static void make_bare(const char *name)
{
	char where[300], text[2000];
	size_t len;

	snprintf(where, sizeof(where), "%s/%s/blobs/sha256", dir, name);
	assert_int_equal(file_mkdirs(where, 0755, NULL), 0);
	snprintf(where, sizeof(where), "%s/blobs/sha256", name);
	len = make_manifest(where, "", "", text);
	name_manifest(name, where, text, len);
}

static struct tree *new_tree(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(dir, &err);

	assert_non_null(t);
	return t;
}

static tree_node lookup(const struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	tree_node node = TREE_NONE;

	assert_int_equal(tree_lookup(t, path, false, &node, &err), 0);
	return node;
}

/* The bytes are in the blob, by a descriptor of it, and outlive all but the tree. */
static void test_content_stays_in_the_blob(void **state)
{
	struct tree_oci_opts opts = {.architecture = "amd64", .spool_dir = dir};
	char digest[TREE_OCI_DIGEST_SIZE] = "";
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	struct tree_piece piece;
	char byte[2], read_back;
	uint64_t base = 0;
	tree_node f;
	int fd = -1;

	(void)state;
	opts.digest = digest;
	assert_int_equal(tree_oci_add(t, layout, &opts, &err), 0);
	assert_int_equal(strlen(digest), TREE_OCI_DIGEST_SIZE - 1);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	f = lookup(t, "/f");
	assert_int_equal(tree_nr_pieces(t, f), 1);
	tree_piece(t, f, 0, &piece);
	assert_string_equal(piece.src->ops->name, "oci");
	assert_int_equal(source_open(piece.src, piece.id, &fd, &base, &err), 0);
	assert_int_equal(pread(fd, &read_back, 1, (off_t)(base + piece.src_off)), 1);
	close(fd);
	assert_int_equal(read_back, 'x');
	assert_int_equal(tree_pread(t, f, byte, 2, (2 << 20) - 2, &err), 0);
	assert_memory_equal(byte, "xx", 2);
	tree_free(t);
}

static bool at_once(void)
{
	return true;
}

static void test_cancel(void **state)
{
	struct tree_oci_opts opts = {.architecture = "amd64", .spool_dir = dir, .cancelled = at_once};
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(tree_oci_add(t, layout, &opts, &err), -1);
	assert_int_equal(err.kind, ERROR_INTERRUPTED);
	tree_free(t);
}

/* An image of no layers: libarchive itself crashes where it gets no memory. */
static int add_bare(struct error *err)
{
	struct tree_oci_opts opts = {.architecture = "amd64", .spool_dir = dir};
	struct tree *t = tree_new(dir, err);
	int r = t ? tree_oci_add(t, bare, &opts, err) : -1;

	tree_free(t);
	return r;
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(allocfail_torture(add_bare));
}

static void test_join(void **state)
{
	static const char *const cases[][2] = {
		{"a", "/d/a"}, {"/a", "/a"}, {"oci:a:t", "oci:/d/a:t"}, {"oci:/a:t", "oci:/a:t"},
		{"oci-archive:../a", "oci-archive:/d/../a"}, {"docker-archive:a", "docker-archive:/d/a"},
		{"docker://a/b:c", "docker://a/b:c"}, {"docker-daemon:a", "docker-daemon:a"},
		{"oci:", "oci:"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *joined = tree_oci_join("/d", cases[i][0], NULL);

		assert_string_equal(joined, cases[i][1]);
		free(joined);
	}
}

/* skopeo's part played by a script that leaves its arguments; plain HTTP only on this machine. */
static void test_skopeo_arguments(void **state)
{
	static const struct {
		const char *ref;
		bool plain;
	} cases[] = {{"docker://localhost:5000/x", true}, {"docker://localhost/x", true},
		{"docker://127.9.0.1:5000/x/y:1", true}, {"docker://[::1]:5000/x", true},
		{"docker://debian:12", false}, {"docker://localhost", false},
		{"docker://localhost.evil.example/x", false}, {"docker://127.0.0.1.evil.example/x", false},
		{"docker://quay.io/localhost/x", false}};
	CLEANUP_FREE char *path = strdup(getenv("PATH"));
	CLEANUP_FREE char *own = buf_strf(NULL, "%s:%s", dir, path);
	char script[1000];
	int len;

	(void)state;
	make_image("fetched", true);
	len = snprintf(script, sizeof(script), "#!/bin/sh\necho \"$@\" >%s/args\nfor to; do :; done\n"
		"case \"$*\" in *--insecure-policy*) ;; *) echo 'Error loading trust policy: open "
		"/etc/containers/policy.json: no such file or directory' >&2; exit 1;; esac\n"
		"exec cp -r %s/fetched \"${to#dir:}\"\n", dir, dir);
	write_at("skopeo", script, (size_t)len, 0755);
	assert_int_equal(setenv("PATH", own, 1), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP_FREE char *args = buf_strf(NULL, "%s/args", dir);
		CLEANUP_FREE char *below = buf_strf(NULL, "%s/below", dir);
		struct tree_oci_opts opts = {.architecture = "amd64", .spool_dir = below};
		struct buf text = BUF_INIT(0);
		struct error err = ERROR_INIT;
		struct tree *t = new_tree();
		tree_node f;
		char byte;

		assert_int_equal(file_mkdirs(below, 0755, NULL), 0);
		assert_int_equal(tree_oci_add(t, cases[i].ref, &opts, &err), 0);
		assert_int_equal(rmdir(below), 0); /* nothing is left in it */
		/* What was fetched is gone, what is of use is in the spool. */
		assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
		f = lookup(t, "/f");
		assert_int_equal(tree_pread(t, f, &byte, 1, 77, &err), 0);
		assert_int_equal(byte, 'x');
		assert_int_equal(file_read(args, &text, &err), 0);
		assert_non_null(strstr(buf_str(&text), "--override-arch=amd64 --override-os=linux "));
		assert_int_equal(strstr(buf_str(&text), "--src-tls-verify=false") != NULL, cases[i].plain);
		buf_release(&text);
		tree_free(t);
	}
	assert_int_equal(setenv("PATH", path, 1), 0);
}

static int make_all(void **state)
{
	if (make_dir(state) < 0)
		return -1;
	make_image("layout", false);
	make_bare("bare");
	snprintf(layout, sizeof(layout), "%s/layout", dir);
	snprintf(bare, sizeof(bare), "%s/bare", dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_stays_in_the_blob),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_skopeo_arguments),
	};

	return cmocka_run_group_tests(tests, make_all, remove_dir);
}
