/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of a tree's inodes. Most files have none, and most that have some share them
 * with many others (a default ACL, a security label), so whole sets are interned: an inode holds
 * the id of its set, and equal sets are one. A set is one block of memory, never changed once it
 * is made:
 *
 *     struct xattr_set | entry 0 | entry 1 | … | "name\0" value "name\0" value …
 *
 * sorted by the bytes of the names, so that equal sets are equal memory.
 */
#include "fs/tree.h"

#include <assert.h>
#include <string.h>

#include "fs/tree_internal.h"

enum { XATTR_NAME_LIMIT = 255, XATTR_VALUE_LIMIT = 65536, XATTR_SET_LIMIT = 16 << 20 };

struct xattr_entry {
	uint32_t name, value, value_len; /* offsets from the first entry */
};

struct xattr_set {
	uint32_t refs;  /* inodes that have it */
	uint32_t chain; /* next id in the bucket */
	uint32_t hash;
	uint32_t nr;    /* entries */
	uint32_t size;  /* bytes behind this struct */
	struct xattr_entry entries[];
};

static const struct xattr_set *set_of(const struct tree *t, const struct inode *inode)
{
	return inode->xattrs ? t->xattrs.slots[inode->xattrs].set : NULL;
}

static const char *set_name(const struct xattr_set *set, uint32_t i)
{
	return (const char *)set->entries + set->entries[i].name;
}

static uint32_t hash_set(const struct xattr_set *set)
{
	const unsigned char *at = (const unsigned char *)set->entries;
	uint64_t hash = set->size;

	for (uint32_t i = 0; i < set->size; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)(hash ^ hash >> 32);
}

/* Room for one more id and one more set in the table. */
static int reserve(struct xattr_table *x, struct error *err)
{
	uint32_t want = x->alloc ? 2 * x->alloc : 64;
	union xattr_slot *slots;
	uint32_t *buckets;

	if (x->nr < x->alloc)
		return 0;
	slots = realloc(x->slots, want * sizeof(*slots));
	if (!slots)
		return error_nomem(err, "extended attributes");
	x->slots = slots;
	buckets = calloc(want, sizeof(*buckets));
	if (!buckets)
		return error_nomem(err, "extended attributes");
	/* Rechain all living sets; the old buckets lead to each of them once. */
	for (uint32_t i = 0; i < x->nr_buckets; i++) {
		uint32_t id = x->buckets[i];

		while (id) {
			struct xattr_set *set = slots[id].set;
			uint32_t next = set->chain;

			set->chain = buckets[set->hash & (want - 1)];
			buckets[set->hash & (want - 1)] = id;
			id = next;
		}
	}
	free(x->buckets);
	x->buckets = buckets;
	x->nr_buckets = x->alloc = want;
	if (!x->nr)
		x->nr = 1; /* id 0 is taken by the empty set */
	return 0;
}

static uint32_t find_set(const struct xattr_table *x, const struct xattr_set *set)
{
	uint32_t id = x->nr_buckets ? x->buckets[set->hash & (x->nr_buckets - 1)] : 0;

	for (; id; id = x->slots[id].set->chain) {
		const struct xattr_set *other = x->slots[id].set;

		if (other->hash == set->hash && other->nr == set->nr && other->size == set->size &&
			!memcmp(other->entries, set->entries, set->size))
			break;
	}
	return id;
}

/* Takes set (which has no references yet) and gives the id of it or of its equal. */
static int intern(struct xattr_table *x, struct xattr_set *set, uint32_t *id, struct error *err)
{
	uint32_t *bucket;

	set->hash = hash_set(set);
	*id = find_set(x, set);
	if (*id) {
		free(set);
		return 0;
	}
	if (!x->free_id && reserve(x, err)) {
		free(set);
		return -1;
	}
	*id = x->free_id ? x->free_id : x->nr++;
	if (x->free_id)
		x->free_id = x->slots[*id].next_free;
	x->slots[*id].set = set;
	bucket = &x->buckets[set->hash & (x->nr_buckets - 1)];
	set->chain = *bucket;
	*bucket = *id;
	return 0;
}

static void unref_set(struct xattr_table *x, uint32_t id)
{
	struct xattr_set *set;
	uint32_t *link;

	if (!id || --x->slots[id].set->refs)
		return;
	set = x->slots[id].set;
	link = &x->buckets[set->hash & (x->nr_buckets - 1)];
	while (*link != id)
		link = &x->slots[*link].set->chain;
	*link = set->chain;
	free(set);
	x->slots[id].next_free = x->free_id;
	x->free_id = id;
}

void tree_xattrs_drop(struct tree *t, struct inode *inode)
{
	unref_set(&t->xattrs, inode->xattrs);
	inode->xattrs = 0;
}

void tree_xattrs_release(struct tree *t)
{
	struct xattr_table *x = &t->xattrs;

	for (uint32_t i = 0; i < x->nr_buckets; i++)
		for (uint32_t id = x->buckets[i]; id;) {
			struct xattr_set *set = x->slots[id].set;

			id = set->chain;
			free(set);
		}
	free(x->slots);
	free(x->buckets);
}

/* Where entries are laid one after the other. */
struct set_writer {
	struct xattr_set *set;
	uint32_t off;
};

static void put_entry(struct set_writer *w, const char *name, const void *value, size_t len)
{
	struct xattr_entry *e = &w->set->entries[w->set->nr++];
	char *base = (char *)w->set->entries;
	size_t name_size = strlen(name) + 1;

	e->name = w->off;
	e->value = w->off + (uint32_t)name_size;
	e->value_len = (uint32_t)len;
	memcpy(base + e->name, name, name_size);
	if (len)
		memcpy(base + e->value, value, len);
	w->off += (uint32_t)(name_size + len);
}

static void put_old(struct set_writer *w, const struct xattr_set *old, uint32_t i)
{
	put_entry(w, set_name(old, i), (const char *)old->entries + old->entries[i].value,
		old->entries[i].value_len);
}

/* A new set: old (may be NULL) with name set to value. */
static struct xattr_set *derive(const struct xattr_set *old, const char *name, const void *value,
	size_t len, struct error *err)
{
	uint32_t nr_old = old ? old->nr : 0;
	uint32_t at = 0;
	size_t size = strlen(name) + 1 + len + sizeof(struct xattr_entry);
	bool replace;
	struct set_writer w;

	while (at < nr_old && strcmp(set_name(old, at), name) < 0)
		at++;
	replace = at < nr_old && !strcmp(set_name(old, at), name);
	if (old)
		size += old->size;
	if (replace)
		size -= strlen(name) + 1 + old->entries[at].value_len + sizeof(struct xattr_entry);
	if (size > XATTR_SET_LIMIT)
		return error_null(
			err, ERROR_INPUT, 0, "extended attributes of one file over 16 MiB");
	w.set = calloc(1, sizeof(*w.set) + size);
	if (!w.set) {
		error_nomem(err, "extended attributes");
		return NULL;
	}
	w.set->size = (uint32_t)size;
	w.off = (nr_old + !replace) * (uint32_t)sizeof(struct xattr_entry);
	for (uint32_t i = 0; i < at; i++)
		put_old(&w, old, i);
	put_entry(&w, name, value, len);
	for (uint32_t i = at + replace; i < nr_old; i++)
		put_old(&w, old, i);
	assert(w.off == w.set->size);
	return w.set;
}

int tree_set_xattr(struct tree *t, tree_node node, const char *name, const void *value, size_t len,
	struct error *err)
{
	struct inode *inode = tree_node_inode(t, node);
	size_t name_len = strlen(name);
	struct xattr_set *set;
	uint32_t id;

	if (name_len < 1 || name_len > XATTR_NAME_LIMIT)
		return error_set(err, ERROR_INPUT, 0,
			"name of an extended attribute has %zu bytes, not 1 to 255", name_len);
	if (len > XATTR_VALUE_LIMIT)
		return error_set(err, ERROR_INPUT, 0,
			"extended attribute '%s' has %zu bytes; 65536 is the most", name, len);
	set = derive(set_of(t, inode), name, value, len, err);
	if (!set || intern(&t->xattrs, set, &id, err))
		return -1;
	t->xattrs.slots[id].set->refs++;
	unref_set(&t->xattrs, inode->xattrs);
	inode->xattrs = id;
	return 0;
}

void tree_clear_xattrs(struct tree *t, tree_node node)
{
	tree_xattrs_drop(t, tree_node_inode(t, node));
}

bool tree_xattr(const struct tree *t, tree_node node, uint32_t index, const char **name,
	const void **value, size_t *len)
{
	const struct xattr_set *set = set_of(t, tree_node_inode(t, node));

	if (!set || index >= set->nr)
		return false;
	*name = set_name(set, index);
	*value = (const char *)set->entries + set->entries[index].value;
	*len = set->entries[index].value_len;
	return true;
}
