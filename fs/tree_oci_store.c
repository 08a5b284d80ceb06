/* SPDX-License-Identifier: Apache-2.0 */
/* The store of an OCI image: a layout as a tree, its blobs by digest, its JSON. */
#include "fs/tree_oci_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/tree_dir.h"
#include "fs/tree_tar.h"

static const char algorithm[] = "sha256:";

static int store_pread(struct source *src, uint64_t id, void *buf, size_t len, uint64_t off,
	struct error *err)
{
	const struct oci_store *s = (const struct oci_store *)src;

	return tree_pread(s->tree, (tree_node)id, buf, len, off, err);
}

static int store_open(struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err)
{
	const struct oci_store *s = (const struct oci_store *)src;
	struct tree_piece piece;
	struct tree_attr attr;

	tree_get(s->tree, (tree_node)id, &attr);
	if (tree_nr_pieces(s->tree, (tree_node)id) == 1) {
		tree_piece(s->tree, (tree_node)id, 0, &piece);
		if (piece.off == 0 && piece.len == attr.size) {
			if (source_open(piece.src, piece.id, fd, base, err) < 0)
				return -1;
			*base += piece.src_off;
			return 0;
		}
	}
	return error_set(err, ERROR_INPUT, ENOTSUP, "a blob of an image is not in one piece");
}

static void store_free(struct source *src)
{
	struct oci_store *s = (struct oci_store *)src;

	tree_free(s->tree);
	free(s);
}

static const struct source_ops store_ops = {
	.name = "oci",
	.pread = store_pread,
	.open = store_open,
	.free = store_free,
};

void oci_store_drop(struct oci_store *s)
{
	if (s && !s->taken)
		source_free(&s->base);
}

struct oci_store *oci_store_open(const char *path, const char *name, const char *spool_dir,
	struct error *err)
{
	CLEANUP(oci_store_cleanup) struct oci_store *s = calloc(1, sizeof(*s));
	struct stat st;
	int r;

	if (!s) {
		error_nomem(err, "an image");
		return NULL;
	}
	s->base.ops = &store_ops;
	s->name = name;
	s->tree = tree_new(spool_dir, err);
	if (!s->tree)
		return NULL;
	if (stat(path, &st) < 0)
		return error_null(err, ERROR_IO, errno, "cannot open '%s'", path);
	r = S_ISDIR(st.st_mode) ? tree_dir_add(s->tree, TREE_ROOT, path, NULL, err) :
				  tree_tar_add(s->tree, path, NULL, err);
	/* Contents in the spool can be read only then. */
	if (r < 0 || tree_finish(s->tree, INT64_MAX, err) < 0)
		return NULL;
	return steal_ptr(&s);
}

int oci_digest_parse(const struct oci_store *s, const char *text, const char *what,
	struct oci_digest *out, struct error *err)
{
	size_t len = sizeof(algorithm) - 1;

	if (!text)
		return error_set(err, ERROR_INPUT, 0, "'%s': the %s has no digest", s->name, what);
	/* Upper-case digits would make a second name of the same blob: the spec forbids them. */
	if (!strncmp(text, algorithm, len) && strspn(text + len, "0123456789abcdef") == strlen(text + len) &&
		!hex_decode(out->sha256, SHA256_SIZE, text + len))
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"'%s': '%.100s' of the %s is no digest that is supported: \"sha256:\" and 64 hex digits "
		"are", s->name, text, what);
}

char *oci_digest_text(char out[TREE_OCI_DIGEST_SIZE], const struct oci_digest *d)
{
	memcpy(out, algorithm, sizeof(algorithm) - 1);
	hex_encode(out + sizeof(algorithm) - 1, d->sha256, SHA256_SIZE);
	return out;
}

int oci_store_file(const struct oci_store *s, const char *path, tree_node *node, uint64_t *size,
	struct error *err)
{
	struct tree_attr attr;

	if (tree_lookup(s->tree, path, true, node, err) < 0)
		return error_wrap(err, "'%s'", s->name);
	if (*node == TREE_NONE)
		return 0;
	tree_get(s->tree, *node, &attr);
	*size = attr.size;
	if (S_ISREG(attr.mode))
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s': '%s' is no regular file", s->name, path);
}

int oci_store_blob(const struct oci_store *s, const struct oci_digest *d, int64_t size,
	tree_node *node, struct error *err)
{
	char path[sizeof("blobs/sha256/") + SHA256_HEX_SIZE], text[TREE_OCI_DIGEST_SIZE];
	char hex[SHA256_HEX_SIZE];
	uint64_t has;

	hex_encode(hex, d->sha256, SHA256_SIZE);
	snprintf(path, sizeof(path), "%s%s", s->fetched ? "" : "blobs/sha256/", hex);
	if (oci_store_file(s, path, node, &has, err) < 0)
		return -1;
	oci_digest_text(text, d);
	if (*node == TREE_NONE)
		return error_set(err, ERROR_INPUT, 0, "'%s' lacks the blob %s", s->name, text);
	if (size >= 0 && (uint64_t)size != has)
		return error_set(err, ERROR_INPUT, 0,
			"'%s': blob %s has %" PRIu64 " bytes, but is said to have %" PRId64, s->name, text,
			has, size);
	return 0;
}

struct json *oci_store_json(const struct oci_store *s, tree_node node, const char *what,
	const struct oci_digest *want, struct oci_digest *got, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(OCI_JSON_MAX);
	CLEANUP_FREE char *name = buf_strf(err, "%s: %s", s->name, what);
	char digest[TREE_OCI_DIGEST_SIZE];
	struct oci_digest is;
	struct tree_attr attr;
	char *to;

	if (!name)
		return NULL;
	tree_get(s->tree, node, &attr);
	if (attr.size > OCI_JSON_MAX)
		return error_null(err, ERROR_INPUT, 0, "'%s': the %s has over %d bytes", s->name, what,
			OCI_JSON_MAX);
	to = buf_extend(&text, attr.size, err);
	if (!to || tree_pread(s->tree, node, to, attr.size, 0, err) < 0 ||
		sha256(to, attr.size, is.sha256, err) < 0)
		return NULL;
	if (want && memcmp(&is, want, sizeof(is)))
		return error_null(err, ERROR_INPUT, 0, "'%s': the %s is damaged: it is not %s", s->name,
			what, oci_digest_text(digest, want));
	if (got)
		*got = is;
	return json_parse(to, attr.size, name, err);
}
