/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an image: as the archive of one, and as two layers, of which the second follows the
 * first end-of-archive mark. No mark of a whiteout may come into the tree, and contents can be read.
 */
#include "tests/fuzz/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "fs/tree_oci.h"
#include "fs/tree_tar.h"

enum { INPUT_MAX = 128 << 10, READ_MAX = 64 << 10, BLOCK = 512 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_node(const struct tree *t, tree_node node, bool layer)
{
	static char content[READ_MAX];
	struct error err = ERROR_INIT;
	struct tree_attr attr;
	size_t len;

	check(!layer || strncmp(tree_name(t, node, &len), ".wh.", 4) != 0);
	tree_get(t, node, &attr);
	if (S_ISREG(attr.mode))
		check(tree_pread(t, node, content, MIN(attr.size, READ_MAX), 0, &err) == 0);
	for (tree_node n = tree_first_child(t, node); n != TREE_NONE; n = tree_next_sibling(t, n))
		check_node(t, n, layer);
}

/* Whatever it said, the tree hangs together; a failure has its reason. */
static void check_result(struct tree *t, int r, const struct error *err)
{
	struct error e = ERROR_INIT;

	check(r == 0 || (err->kind != ERROR_NONE && err->kind != ERROR_BUG && err->text[0]));
	check(tree_finish(t, INT64_MAX, &e) == 0);
	check_node(t, TREE_ROOT, true);
	tree_free(t);
}

static void as_archive(const uint8_t *data, size_t size)
{
	static const struct tree_oci_opts opts = {.architecture = "amd64", .spool_dir = "/tmp"};
	struct error err = ERROR_INIT;
	struct tree *t = tree_new("/tmp", &err);
	int fd = memfd_create("image", MFD_CLOEXEC), r;
	char path[40];

	check(t && fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = tree_oci_add(t, path, &opts, &err);
	check_result(t, r, &err);
	close(fd);
}

/* Where the first two blocks of zeros end; else the end. */
static size_t first_end(const uint8_t *data, size_t size)
{
	static const uint8_t zeros[2 * BLOCK];

	for (size_t at = 0; at + sizeof(zeros) <= size; at += BLOCK)
		if (!memcmp(data + at, zeros, sizeof(zeros)))
			return at + sizeof(zeros);
	return size;
}

static void as_layers(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new("/tmp", &err);
	struct spool *spool = t ? tree_spool(t, &err) : NULL;
	size_t first = first_end(data, size);
	struct tree_tar_range range = {.len = first};
	uint64_t off;
	int r;

	check(spool && spool_append(spool, data, size, &off, &err) == 0 &&
		spool_flush(spool, &err) == 0);
	range.src = spool_source(spool);
	r = tree_tar_add_layer(t, &range, "lower", &err);
	range.off = first;
	range.len = size - first;
	if (r == 0)
		r = tree_tar_add_layer(t, &range, "upper", &err);
	check_result(t, r, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX)
		return 0;
	as_archive(data, size);
	as_layers(data, size);
	return 0;
}
