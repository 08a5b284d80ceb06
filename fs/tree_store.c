/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tree stores its parts in: chunked arrays, the arena of names, and the hash table that
 * finds a node by (directory, name). The table chains nodes through themselves, so removing is
 * cheap and leaves no tombstones; a bucket holds one node on average.
 */
#include "fs/tree_internal.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"

int chunk_array_extend(struct chunk_array *a, uint32_t n, size_t item_size, struct error *err)
{
	uint64_t end = (uint64_t)a->nr + n;

	if (end >= TREE_NONE)
		return error_set(err, ERROR_INPUT, 0, "more than %u files or pieces of files",
			TREE_NONE - 1);
	while ((uint64_t)a->nr_chunks << CHUNK_SHIFT < end) {
		if (ARRAY_GROW(a->chunks, a->nr_chunks + 1, a->alloc, "file tree", err))
			return -1;
		a->chunks[a->nr_chunks] = malloc(CHUNK_ITEMS * item_size);
		if (!a->chunks[a->nr_chunks])
			return error_nomem(err, "file tree");
		a->nr_chunks++;
	}
	a->nr = (uint32_t)end;
	return 0;
}

void chunk_array_release(struct chunk_array *a)
{
	for (uint32_t i = 0; i < a->nr_chunks; i++)
		free(a->chunks[i]);
	free(a->chunks);
}

static int arena_new_chunk(struct arena *a, struct error *err)
{
	if (a->nr_chunks == UINT32_C(1) << (32 - ARENA_SHIFT))
		return error_set(err, ERROR_INPUT, 0, "more than 4 GiB of file names");
	if (ARRAY_GROW(a->chunks, a->nr_chunks + 1, a->alloc, "file tree", err))
		return -1;
	a->chunks[a->nr_chunks] = malloc((size_t)1 << ARENA_SHIFT);
	if (!a->chunks[a->nr_chunks])
		return error_nomem(err, "file names");
	a->nr_chunks++;
	a->used = 0;
	return 0;
}

int arena_add(struct arena *a, const char *text, size_t len, uint32_t *pos, struct error *err)
{
	uint32_t need = (uint32_t)len + 3;
	unsigned char *to;

	assert(len <= TREE_SYMLINK_MAX);
	if ((!a->nr_chunks || a->used + need > UINT32_C(1) << ARENA_SHIFT) &&
		arena_new_chunk(a, err))
		return -1;
	to = (unsigned char *)a->chunks[a->nr_chunks - 1] + a->used;
	to[0] = (unsigned char)(len >> 8);
	to[1] = (unsigned char)len;
	memcpy(to + 2, text, len);
	to[2 + len] = '\0';
	*pos = (a->nr_chunks - 1) << ARENA_SHIFT | a->used;
	a->used += need;
	return 0;
}

const char *arena_text(const struct arena *a, uint32_t pos, size_t *len)
{
	const char *at = a->chunks[pos >> ARENA_SHIFT] + (pos & ((1u << ARENA_SHIFT) - 1));

	if (len)
		*len = (size_t)(unsigned char)at[0] << 8 | (unsigned char)at[1];
	return at + 2;
}

void arena_release(struct arena *a)
{
	for (uint32_t i = 0; i < a->nr_chunks; i++)
		free(a->chunks[i]);
	free(a->chunks);
}

int tree_names_reserve(struct tree *t, struct error *err)
{
	uint32_t want = t->nr_buckets ? 2 * t->nr_buckets : 1024;
	uint32_t *old = t->buckets;

	if (t->nr_nodes < t->nr_buckets || want == 0)
		return 0;
	/* The chains are rebuilt from the nodes, so the old table goes first: no peak of both. */
	t->buckets = malloc(want * sizeof(*t->buckets));
	if (!t->buckets) {
		t->buckets = old;
		return error_nomem(err, "table of file names");
	}
	free(old);
	t->nr_buckets = want;
	memset(t->buckets, 0xff, want * sizeof(*t->buckets));
	for (tree_node i = 1; i < t->nodes.nr; i++)
		if (tree_node_at(t, i)->inode != TREE_NONE)
			tree_names_insert(t, i);
	return 0;
}

/* One step of a multiply-and-fold hash. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint32_t tree_names_hash(const struct tree *t, tree_node dir, const char *name, size_t len)
{
	uint64_t hash = t->seed ^ ((uint64_t)dir << 32 | len);
	uint64_t word;

	hash = fold(hash, UINT64_C(0x9e3779b97f4a7c15));
	for (; len >= 8; len -= 8, name += 8) {
		memcpy(&word, name, 8);
		hash = fold(hash ^ word, UINT64_C(0xd6e8feb86659fd93));
	}
	word = 0;
	memcpy(&word, name, len);
	hash = fold(hash ^ word, UINT64_C(0xa0761d6478bd642f));
	return (uint32_t)(hash ^ hash >> 32);
}

void tree_names_insert(struct tree *t, tree_node node)
{
	struct node *n = tree_node_at(t, node);
	uint32_t *bucket = &t->buckets[n->hash & (t->nr_buckets - 1)];

	n->chain = *bucket;
	*bucket = node;
}

void tree_names_remove(struct tree *t, tree_node node)
{
	struct node *n = tree_node_at(t, node);
	uint32_t *link = &t->buckets[n->hash & (t->nr_buckets - 1)];

	while (*link != node)
		link = &tree_node_at(t, *link)->chain;
	*link = n->chain;
}

tree_node tree_names_find(const struct tree *t, tree_node dir, const char *name, size_t len,
	uint32_t hash)
{
	tree_node i = t->nr_buckets ? t->buckets[hash & (t->nr_buckets - 1)] : TREE_NONE;

	while (i != TREE_NONE) {
		const struct node *n = tree_node_at(t, i);

		if (n->hash == hash && n->parent == dir) {
			size_t got_len;
			const char *got = arena_text(&t->arena, n->name, &got_len);

			if (got_len == len && !memcmp(got, name, len))
				break;
		}
		i = n->chain;
	}
	return i;
}
