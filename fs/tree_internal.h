/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of struct tree, shared by fs/tree*.c and by nobody else.
 *
 * Nodes, inodes and pieces live in arrays of fixed-size chunks: they grow without being copied (so
 * the peak is the size, not twice the size), and a pointer to an item stays good while others are
 * added. Names and symbolic links' targets live in one append-only arena; they stay where they are
 * until the tree is freed, even when their node goes. Slots of removed nodes and inodes are used
 * again.
 */
#ifndef AMIWRIGHT_FS_TREE_INTERNAL_H
#define AMIWRIGHT_FS_TREE_INTERNAL_H

#include "fs/tree.h"

enum {
	CHUNK_SHIFT = 13, /* items in a chunk: 8192 */
	CHUNK_ITEMS = 1 << CHUNK_SHIFT,
	CHUNK_MASK = CHUNK_ITEMS - 1,
	ARENA_SHIFT = 20, /* bytes in a chunk of the arena: 1 MiB */
};

/* Chunks of CHUNK_ITEMS items; item i is at chunks[i >> CHUNK_SHIFT][i & CHUNK_MASK]. */
struct chunk_array {
	char **chunks;
	size_t nr_chunks, alloc;
	uint32_t nr; /* items in use */
};

/*
 * Append-only strings: a length byte pair, the bytes, a NUL. A position is chunk << ARENA_SHIFT |
 * offset.
 */
struct arena {
	char **chunks;
	size_t nr_chunks, alloc;
	uint32_t used; /* bytes of the last chunk */
};

/*
 * A name in a directory. 28 bytes. A free slot has inode TREE_NONE, and `next` chains the free
 * ones.
 */
struct node {
	uint32_t name;       /* arena position */
	uint32_t hash;       /* of (parent, name), so that growing the table reads no names */
	uint32_t chain;      /* next node of the same hash bucket */
	uint32_t parent;
	uint32_t next, prev; /* siblings */
	uint32_t inode;      /* slot, not number */
};

enum inode_flags { INODE_MOUNT_POINT = 1 };

/* All but the name. 56 bytes. A free slot has nlink 0, and `content` chains the free ones. */
struct inode {
	uint64_t size;    /* S_IFREG, S_IFLNK: bytes; devices: major << 32 | minor */
	int64_t mtime;
	uint32_t mtime_ns;
	uint32_t uid, gid;
	uint32_t nlink;
	uint32_t number;  /* given by tree_finish() */
	uint32_t xattrs;  /* id of the set, 0: none */
	uint32_t content; /* directory: first child; file: first piece; link: target in the arena */
	uint32_t nr_pieces;
	uint16_t mode;    /* with S_IFMT */
	uint16_t flags;
};

/* 40 bytes. */
struct piece {
	uint64_t off, len, id, src_off;
	uint32_t src; /* index into tree.sources */
};

struct tree_source {
	struct source *src;
	bool owned;
};

struct xattr_set;

/* An id leads to a set or, when it is free, to the next free id. */
union xattr_slot {
	struct xattr_set *set;
	uint32_t next_free;
};

/* Equal sets are one; id 0 is the empty set and has no struct. */
struct xattr_table {
	union xattr_slot *slots; /* by id */
	uint32_t nr, alloc;
	uint32_t free_id;        /* 0: none */
	uint32_t *buckets;       /* ids by hash, chained by xattr_set.chain, 0 ends; power of two */
	uint32_t nr_buckets;
};

struct tree {
	struct chunk_array nodes, inodes, pieces;
	struct arena arena;
	uint32_t *buckets; /* nodes by hash, power of two of them */
	uint32_t nr_buckets;
	uint64_t seed;     /* of the hash; never shows in a result */
	uint32_t free_node, free_inode;
	uint32_t nr_nodes, nr_inodes; /* living ones */
	struct xattr_table xattrs;
	struct tree_source *sources;
	size_t nr_sources, alloc_sources;
	struct spool *spool;
	char *spool_dir;
};

static inline struct node *tree_node_at(const struct tree *t, uint32_t i)
{
	return (struct node *)(void *)t->nodes.chunks[i >> CHUNK_SHIFT] + (i & CHUNK_MASK);
}

static inline struct inode *tree_inode_at(const struct tree *t, uint32_t i)
{
	return (struct inode *)(void *)t->inodes.chunks[i >> CHUNK_SHIFT] + (i & CHUNK_MASK);
}

static inline struct inode *tree_node_inode(const struct tree *t, tree_node node)
{
	return tree_inode_at(t, tree_node_at(t, node)->inode);
}

static inline struct piece *tree_piece_at(const struct tree *t, uint32_t i)
{
	return (struct piece *)(void *)t->pieces.chunks[i >> CHUNK_SHIFT] + (i & CHUNK_MASK);
}

/* fs/tree_store.c */
/* Adds n items at the end (content undefined); their index is the old nr. */
int chunk_array_extend(struct chunk_array *a, uint32_t n, size_t item_size, struct error *err)
	MUST_CHECK;
void chunk_array_release(struct chunk_array *a);
/* Copies len (at most TREE_SYMLINK_MAX) bytes and a NUL in. */
int arena_add(struct arena *a, const char *text, size_t len, uint32_t *pos, struct error *err)
	MUST_CHECK;
const char *arena_text(const struct arena *a, uint32_t pos, size_t *len);
void arena_release(struct arena *a);
/* The hash table of nodes. Making room comes first so that inserting cannot fail. */
int tree_names_reserve(struct tree *t, struct error *err) MUST_CHECK;
uint32_t tree_names_hash(const struct tree *t, tree_node dir, const char *name, size_t len);
void tree_names_insert(struct tree *t, tree_node node);
void tree_names_remove(struct tree *t, tree_node node);
tree_node tree_names_find(const struct tree *t, tree_node dir, const char *name, size_t len,
	uint32_t hash);

/* fs/tree_path.c */
/*
 * The directory that node leads to as a symbolic link; TREE_NONE when it is no link, or leads to
 * none. A layer's directory over such a link goes there: "lib" over "lib -> usr/lib" would take the
 * whole system's libraries away.
 */
int tree_dir_behind_link(const struct tree *t, tree_node node, tree_node *dir, struct error *err)
	MUST_CHECK;

/* fs/tree_content.c */
void tree_content_drop(struct tree *t, struct inode *inode);
void tree_content_release(struct tree *t);

/* fs/tree_xattr.c: a set's reference is counted by inodes. */
void tree_xattrs_drop(struct tree *t, struct inode *inode);
void tree_xattrs_release(struct tree *t);

#endif
