/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer of an OCI image into a tree. Its blob is read once to check its digest; one that is
 * compressed is read again, unpacked into the tree's spool as it is, and its diff_id computed on
 * the way. Both the spool and a blob that is not compressed hold a plain tar then, whose contents
 * are referred to in place.
 */
#include "fs/tree_oci_internal.h"

#include <string.h>

#include "base/num.h"
#include "fs/tree_tar.h"

enum { READ_SIZE = 1 << 20 };

DEFINE_CLEANUP(sha256, struct sha256, sha256_free)

static int check_cancelled(bool (*cancelled)(void), struct error *err)
{
	return cancelled && cancelled() ? error_set(err, ERROR_INTERRUPTED, 0, "interrupted") : 0;
}

static int digest_range(const struct tree_tar_range *range, bool (*cancelled)(void),
	struct oci_digest *out, struct error *err)
{
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);
	CLEANUP_FREE char *data = malloc(READ_SIZE);

	if (!h)
		return -1;
	if (!data)
		return error_nomem(err, "a read buffer");
	for (uint64_t at = 0; at < range->len;) {
		size_t len = MIN((uint64_t)READ_SIZE, range->len - at);

		if (check_cancelled(cancelled, err) < 0 ||
			source_pread(range->src, range->id, data, len, range->off + at, err) < 0 ||
			sha256_update(h, data, len, err) < 0)
			return -1;
		at += len;
	}
	return sha256_final(h, out->sha256, err);
}

/* Where unpacked bytes go. */
struct unpacking {
	struct spool *spool;
	struct sha256 *hash;
	uint64_t len, unasked; /* bytes; since cancelled() was asked last */
	bool (*cancelled)(void);
};

static int take_unpacked(void *arg, const void *data, size_t len, struct error *err)
{
	struct unpacking *u = arg;
	uint64_t off;

	u->unasked += len;
	if (u->unasked >= READ_SIZE) {
		u->unasked = 0;
		if (check_cancelled(u->cancelled, err) < 0)
			return -1;
	}
	u->len += len;
	return sha256_update(u->hash, data, len, err) < 0 ? -1 :
							    spool_append(u->spool, data, len, &off, err);
}

/* Unpacks into the tree's spool; range becomes what it has there. */
static int unpack(struct tree *t, struct tree_tar_range *range, const char *name,
	bool (*cancelled)(void), struct oci_digest *diff_id, struct error *err)
{
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);
	struct unpacking u = {.spool = tree_spool(t, err), .hash = h, .cancelled = cancelled};
	uint64_t start;

	if (!h || !u.spool)
		return -1;
	start = spool_size(u.spool);
	if (tree_tar_unpack(range, name, take_unpacked, &u, err) < 0 ||
		spool_flush(u.spool, err) < 0 || sha256_final(h, diff_id->sha256, err) < 0)
		return -1;
	*range = (struct tree_tar_range){.src = spool_source(u.spool), .off = start, .len = u.len};
	return 0;
}

static int differs(const char *name, const char *what, const struct oci_digest *is,
	const struct oci_digest *want, struct error *err)
{
	char a[TREE_OCI_DIGEST_SIZE], b[TREE_OCI_DIGEST_SIZE];

	return error_set(err, ERROR_INPUT, 0, "'%s' is damaged: its %s is %s, not %s", name, what,
		oci_digest_text(a, is), oci_digest_text(b, want));
}

/* The tree owns the store from the first content on that stays there. */
static int hand_over(struct oci_store *s, struct tree *t, struct error *err)
{
	if (s->taken)
		return 0;
	s->taken = true;
	return tree_take_source(t, &s->base, err);
}

static char *layer_name(const struct oci_store *s, const struct oci_layer *layer, struct error *err)
{
	char text[TREE_OCI_DIGEST_SIZE];

	return buf_strf(err, "%s: layer %s", s->name,
		oci_digest_text(text, layer->has_digest ? &layer->digest : &layer->diff_id));
}

int oci_layer_add(struct oci_store *s, const struct oci_layer *layer, struct tree *t,
	bool (*cancelled)(void), struct error *err)
{
	CLEANUP_FREE char *name = layer_name(s, layer, err);
	struct tree_tar_range range = {.src = &s->base, .id = layer->node};
	struct oci_digest digest, diff_id;
	struct tree_attr attr;
	bool compressed;

	if (!name)
		return -1;
	tree_get(s->tree, layer->node, &attr);
	range.len = attr.size;
	if (digest_range(&range, cancelled, &digest, err) < 0)
		return -1;
	if (layer->has_digest && memcmp(&digest, &layer->digest, sizeof(digest)))
		return differs(name, "digest", &digest, &layer->digest, err);
	if (tree_tar_is_compressed(&range, name, &compressed, err) < 0)
		return -1;
	diff_id = digest;
	if ((compressed || s->fetched) && unpack(t, &range, name, cancelled, &diff_id, err) < 0)
		return -1;
	if (memcmp(&diff_id, &layer->diff_id, sizeof(diff_id)))
		return differs(name, "unpacked digest (diff_id)", &diff_id, &layer->diff_id, err);
	if (range.src == &s->base && hand_over(s, t, err) < 0)
		return -1;
	return tree_tar_add_layer(t, &range, name, err);
}
