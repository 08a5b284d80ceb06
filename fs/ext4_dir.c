/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories, built whole: what fits one block is a plain list, in the order of names; all else
 * gets an index (htree) with its leaves filled one after another in the order of the hashes.
 * Nothing is ever inserted, so n entries cost one sort.
 *
 *   block 0         1 … m           m + 1 …
 *   | root index |  | index nodes |  | leaves: entries by hash, checksum |
 *
 * m = 0 when the root reaches all leaves.
 *
 * An index entry is (first hash of the leaf, file block). The first entry's hash is left out: its
 * place is taken by the numbers of entries. Bit 0 of a hash says that the leaf goes on with the
 * hash that the leaf before ended with.
 */
#include "fs/ext4_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/num.h"

enum {
	TAIL = sizeof(struct ext2_dir_entry_tail),
	DOTS = 24,       /* "." and ".." */
	ROOT_INDEX = 32, /* where the index begins in the root block */
	NODE_INDEX = 8,  /* and in other index blocks */
	MAX_LEVELS = 3,  /* of index blocks, with large_dir */
};

static uint32_t entry_len(size_t name_len)
{
	return (uint32_t)(8 + name_len + 3) & ~3u;
}

static const char *entry_name(const struct ext4_build *b, tree_node node, size_t *len)
{
	if (node == TREE_NONE) {
		*len = 10;
		return "lost+found";
	}
	return tree_name(b->t, node, len);
}

/* What a block of entries has at its end for a checksum, and one of an index. */
static uint32_t tail_of(const struct ext4_build *b)
{
	return b->classic ? 0 : TAIL;
}

static uint32_t index_tail(const struct ext4_build *b)
{
	return b->classic ? 0 : (uint32_t)sizeof(struct ext2_dx_tail);
}

static uint32_t root_limit(const struct ext4_build *b)
{
	return (b->block_size - ROOT_INDEX - index_tail(b)) / 8;
}

static uint32_t node_limit(const struct ext4_build *b)
{
	return (b->block_size - NODE_INDEX - index_tail(b)) / 8;
}

/* Lists the entries of dir in b->dirents; *bytes is what they take in one list without tail. */
static int list_entries(
	struct ext4_build *b, tree_node dir, size_t *nr, uint64_t *bytes, struct error *err)
{
	tree_node node = dir == b->root && b->own_lost_found ? TREE_NONE : ext4_first_child(b, dir);
	bool extra = dir == b->root && b->own_lost_found;
	size_t len;

	*nr = 0;
	*bytes = DOTS;
	while (extra || node != TREE_NONE) {
		if (ARRAY_GROW(b->dirents, *nr + 1, b->dirents_alloc, "a directory", err) < 0)
			return -1;
		b->dirents[(*nr)++].node = node;
		entry_name(b, node, &len);
		*bytes += entry_len(len);
		node = extra ? ext4_first_child(b, dir) : tree_next_sibling(b->t, node);
		extra = false;
	}
	return 0;
}

static int compare_hashes(const void *a, const void *b)
{
	const struct ext4_dirent *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->minor != y->minor)
		return x->minor < y->minor ? -1 : 1;
	/*
	 * Nodes are numbers of the tree, in no order of names; two equal hashes need one all the
	 * same.
	 */
	return 0;
}

static int compare_names(const struct ext4_build *b, tree_node x, tree_node y)
{
	size_t x_len, y_len;
	const char *x_name = entry_name(b, x, &x_len), *y_name = entry_name(b, y, &y_len);
	int c = memcmp(x_name, y_name, MIN(x_len, y_len));

	return c ? c : (x_len > y_len) - (x_len < y_len);
}

/* Entries of equal hashes, of which there are hardly any, by name: qsort is not stable. */
static void order_ties(struct ext4_build *b, size_t nr)
{
	struct ext4_dirent *d = b->dirents;

	for (size_t i = 1; i < nr; i++) {
		for (size_t j = i; j > 0 && compare_hashes(&d[j - 1], &d[j]) == 0 &&
				   compare_names(b, d[j - 1].node, d[j].node) > 0;
			j--) {
			struct ext4_dirent swap = d[j];

			d[j] = d[j - 1];
			d[j - 1] = swap;
		}
	}
}

static int sort_entries(struct ext4_build *b, size_t nr, struct error *err)
{
	for (size_t i = 0; i < nr; i++) {
		struct ext4_dirent *d = &b->dirents[i];
		size_t len;
		const char *name = entry_name(b, d->node, &len);

		if (ext2fs_dirhash2(EXT2_HASH_HALF_MD4, name, (int)len, NULL, 0, b->hash_seed,
			    &d->hash, &d->minor))
			return error_set(err, ERROR_BUG, 0, "cannot hash a file name");
	}
	qsort(b->dirents, nr, sizeof(*b->dirents), compare_hashes);
	order_ties(b, nr);
	return 0;
}

/* The entries from `from` on that fill one leaf: returns where the next one begins. */
static size_t fill_leaf(const struct ext4_build *b, size_t from, size_t nr)
{
	uint32_t room = b->block_size - tail_of(b);
	size_t len;

	while (from < nr) {
		entry_name(b, b->dirents[from].node, &len);
		if (entry_len(len) > room)
			break;
		room -= entry_len(len);
		from++;
	}
	return from;
}

/* Index blocks below the root for so many leaves, level by level from the leaves up. */
static uint32_t index_levels(
	const struct ext4_build *b, uint32_t leaves, uint32_t nodes[MAX_LEVELS])
{
	uint32_t levels = 0, below = leaves;

	while (below > root_limit(b) && levels < MAX_LEVELS) {
		below = (uint32_t)num_div_up(below, node_limit(b));
		nodes[levels++] = below;
	}
	return levels;
}

int ext4_dir_blocks(struct ext4_build *b, tree_node dir, uint32_t *nr_blocks, struct error *err)
{
	uint32_t nodes[MAX_LEVELS] = {0}, leaves = 0, levels;
	uint64_t bytes;
	size_t nr;

	*nr_blocks = 1;
	if (list_entries(b, dir, &nr, &bytes, err) < 0)
		return -1;
	if (bytes <= b->block_size - tail_of(b))
		return 0;
	if (sort_entries(b, nr, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; leaves++)
		i = fill_leaf(b, i, nr);
	levels = index_levels(b, leaves, nodes);
	if (levels >= MAX_LEVELS)
		return ext4_path_error(b, dir, err, "has too many entries for ext4");
	b->large_dir |= levels > 1;
	*nr_blocks = 1 + nodes[0] + nodes[1] + leaves;
	return 0;
}

bool ext4_dir_indexed(const struct ext4_build *b, const struct ext4_slot *slot)
{
	(void)b;
	return slot->node != TREE_NONE && slot->nr_blocks > 1;
}

static uint8_t file_type(const struct ext4_build *b, tree_node node, uint32_t *ino)
{
	struct tree_attr attr;

	if (node == TREE_NONE) {
		*ino = ext4_ino(1);
		return EXT2_FT_DIR;
	}
	tree_get(b->t, node, &attr);
	*ino = b->ino_of[attr.inode];
	switch (attr.mode & S_IFMT) {
	case S_IFREG:
		return EXT2_FT_REG_FILE;
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFLNK:
		return EXT2_FT_SYMLINK;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	default:
		return EXT2_FT_SOCK;
	}
}

/* A directory on its way out. */
struct writer {
	struct ext4_out *out;
	const struct ext4_slot *slot;
	uint32_t ino;
	uint32_t lblk; /* of the block that is being built in out->block */
	uint32_t crc;  /* of inode number and generation */
};

/* One entry of rec_len bytes at `off`; returns its end. */
static uint32_t put_entry(uint8_t *block, uint32_t off, uint32_t rec_len, uint32_t ino,
	uint8_t type, const char *name, size_t len)
{
	num_put_le32(block + off, ino);
	num_put_le16(block + off + 4, (uint16_t)rec_len);
	block[off + 6] = (uint8_t)len;
	block[off + 7] = type;
	memcpy(block + off + 8, name, len);
	return off + rec_len;
}

static int flush_block(struct writer *w, struct error *err)
{
	const struct ext4_build *b = w->out->b;
	uint64_t room, block = ext4_space_block(&b->space, w->slot->at + w->lblk, &room);

	if (ext4_out_block(w->out, block, w->out->block, err) < 0)
		return -1;
	w->lblk++;
	memset(w->out->block, 0, b->block_size);
	return 0;
}

/* Ends a block of entries: the last one (at `last`) reaches to the tail. */
static int flush_leaf(struct writer *w, uint32_t last, struct error *err)
{
	uint8_t *block = w->out->block;
	uint32_t size = w->out->b->block_size - tail_of(w->out->b);

	num_put_le16(block + last + 4, (uint16_t)(size - last));
	if (w->out->b->classic)
		return flush_block(w, err);
	num_put_le16(block + size + 4, TAIL);
	num_put_le16(block + size + 6, EXT2_DIR_NAME_LEN_CSUM);
	num_put_le32(block + size + 8, ext2fs_crc32c_le(w->crc, block, size));
	return flush_block(w, err);
}

/* Entries [from, to) from `off` on in a block that has one at `last` already. */
static int write_entries(
	struct writer *w, uint32_t off, uint32_t last, size_t from, size_t to, struct error *err)
{
	const struct ext4_build *b = w->out->b;

	for (size_t i = from; i < to; i++) {
		tree_node node = b->dirents[i].node;
		size_t len;
		const char *name = entry_name(b, node, &len);
		uint32_t ino;
		uint8_t type = file_type(b, node, &ino);

		last = off;
		off = put_entry(w->out->block, off, entry_len(len), ino, type, name, len);
	}
	return flush_leaf(w, last, err);
}

static uint32_t parent_ino(const struct ext4_build *b, tree_node dir)
{
	struct tree_attr attr;

	if (dir == TREE_NONE || dir == b->root)
		return EXT2_ROOT_INO;
	tree_get(b->t, tree_parent(b->t, dir), &attr);
	return b->ino_of[attr.inode];
}

/* "." and ".."; the second is rec_len bytes long. */
static void put_dots(struct writer *w, uint32_t rec_len)
{
	put_entry(w->out->block, 0, 12, w->ino, EXT2_FT_DIR, ".", 1);
	put_entry(w->out->block, 12, rec_len, parent_ino(w->out->b, w->slot->node), EXT2_FT_DIR,
		"..", 2);
}

/* Ends an index block whose entries begin at `off`. */
static int flush_index(
	struct writer *w, uint32_t off, uint32_t limit, uint32_t count, struct error *err)
{
	static const uint8_t zeros[sizeof(struct ext2_dx_tail)];
	uint8_t *block = w->out->block;
	uint32_t crc;

	num_put_le16(block + off, (uint16_t)limit);
	num_put_le16(block + off + 2, (uint16_t)count);
	if (w->out->b->classic)
		return flush_block(w, err);
	crc = ext2fs_crc32c_le(w->crc, block, off + count * 8);
	crc = ext2fs_crc32c_le(crc, zeros, sizeof(zeros));
	num_put_le32(block + off + limit * 8 + 4, crc);
	return flush_block(w, err);
}

/* One level of index entries: hash and file block of each block of the level below. */
struct index_level {
	uint32_t *hash; /* borrowed */
	uint32_t nr;
	uint32_t lblk; /* of the first block below */
};

/*
 * Entries [from, from + count) of a level into the block being built; the first one's hash is
 * overwritten later.
 */
static void put_index(
	struct writer *w, uint32_t off, const struct index_level *l, uint32_t from, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		num_put_le32(w->out->block + off + i * 8, i ? l->hash[from + i] : 0);
		num_put_le32(w->out->block + off + i * 8 + 4, l->lblk + from + i);
	}
}

static int write_root(
	struct writer *w, const struct index_level *top, uint32_t levels, struct error *err)
{
	struct ext2_dx_root_info info = {.hash_version = EXT2_HASH_HALF_MD4,
		.info_length = sizeof(info),
		.indirect_levels = (uint8_t)levels};

	put_dots(w, w->out->b->block_size - 12);
	memcpy(w->out->block + DOTS, &info, sizeof(info));
	put_index(w, ROOT_INDEX, top, 0, top->nr);
	return flush_index(w, ROOT_INDEX, root_limit(w->out->b), top->nr, err);
}

static int write_nodes(struct writer *w, const struct index_level *below, struct error *err)
{
	const uint32_t limit = node_limit(w->out->b);

	for (uint32_t i = 0; i < below->nr; i += limit) {
		uint32_t count = MIN(limit, below->nr - i);

		num_put_le16(w->out->block + 4, (uint16_t)w->out->b->block_size);
		put_index(w, NODE_INDEX, below, i, count);
		if (flush_index(w, NODE_INDEX, limit, count, err) < 0)
			return -1;
	}
	return 0;
}

/* Root and nodes over the leaves, whose first hashes are given; hash is used up. */
static int write_index(struct writer *w, uint32_t *hash, uint32_t leaves, struct error *err)
{
	const struct ext4_build *b = w->out->b;
	uint32_t nodes[MAX_LEVELS] = {0}, levels = index_levels(b, leaves, nodes);
	struct index_level level[MAX_LEVELS] = {{hash, leaves, 1 + nodes[0] + nodes[1]}};
	uint32_t *next = hash + leaves;

	for (uint32_t l = 1; l <= levels; l++) {
		level[l] = (struct index_level){next, nodes[l - 1], l == levels ? 1 : 1 + nodes[1]};
		for (uint32_t i = 0; i < nodes[l - 1]; i++)
			next[i] = level[l - 1].hash[i * node_limit(b)];
		next += nodes[l - 1];
	}
	if (write_root(w, &level[levels], levels, err) < 0)
		return -1;
	for (uint32_t l = levels; l-- > 0;) {
		if (write_nodes(w, &level[l], err) < 0)
			return -1;
	}
	return 0;
}

/* First hash of each leaf, with the bit that says it goes on. */
static uint32_t leaf_hashes(const struct ext4_build *b, size_t nr, uint32_t *hash)
{
	uint32_t leaves = 0;

	for (size_t i = 0; i < nr; i = fill_leaf(b, i, nr)) {
		bool goes_on = i > 0 && b->dirents[i].hash == b->dirents[i - 1].hash;

		hash[leaves++] = b->dirents[i].hash | goes_on;
	}
	return leaves;
}

static int write_indexed(struct writer *w, size_t nr, struct error *err)
{
	struct ext4_build *b = w->out->b;
	uint32_t *hash, leaves;
	int rc;

	if (sort_entries(b, nr, err) < 0)
		return -1;
	hash = calloc(w->slot->nr_blocks, sizeof(*hash));
	if (!hash)
		return error_nomem(err, "the index of a directory");
	leaves = leaf_hashes(b, nr, hash);
	rc = write_index(w, hash, leaves, err);
	free(hash);
	for (size_t i = 0; rc == 0 && i < nr;) {
		size_t end = fill_leaf(b, i, nr);

		rc = write_entries(w, 0, 0, i, end, err);
		i = end;
	}
	return rc;
}

/* lost+found is wanted with room inside: further blocks hold one unused entry each. */
static int write_lost_found(struct writer *w, struct error *err)
{
	put_dots(w, 12);
	if (flush_leaf(w, 12, err) < 0)
		return -1;
	while (w->lblk < w->slot->nr_blocks) {
		if (flush_leaf(w, 0, err) < 0)
			return -1;
	}
	return 0;
}

int ext4_dir_write(struct ext4_out *out, uint32_t slot, struct error *err)
{
	struct ext4_build *b = out->b;
	struct writer w = {.out = out,
		.slot = &b->slots[slot],
		.ino = ext4_ino(slot),
		.crc = ext4_inode_crc(b, ext4_ino(slot))};
	uint64_t bytes;
	size_t nr;

	memset(out->block, 0, b->block_size);
	if (w.slot->node == TREE_NONE)
		return write_lost_found(&w, err);
	if (list_entries(b, w.slot->node, &nr, &bytes, err) < 0)
		return -1;
	if (ext4_dir_indexed(b, w.slot)) {
		if (write_indexed(&w, nr, err) < 0)
			return -1;
	} else {
		put_dots(&w, 12);
		if (write_entries(&w, DOTS, 12, 0, nr, err) < 0)
			return -1;
	}
	assert(w.lblk == w.slot->nr_blocks);
	return 0;
}
