/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of a tree's files: pieces and the sources that they refer to. The pieces of a file are
 * a run in one array; nearly always it is a run of one. A run that grows moves to the array's end
 * when something is behind it, into room for twice as many, so that adding n pieces costs n in
 * total. Its old place stays empty, as do the pieces of removed files.
 */
#include "fs/tree.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "base/num.h"
#include "fs/tree_internal.h"

static int add_source(struct tree *t, struct source *src, bool owned, struct error *err)
{
	if (ARRAY_GROW(t->sources, t->nr_sources + 1, t->alloc_sources, "sources of a file tree", err) < 0)
		return -1;
	t->sources[t->nr_sources++] = (struct tree_source){src, owned};
	return 0;
}

int tree_take_source(struct tree *t, struct source *src, struct error *err)
{
	if (add_source(t, src, true, err)) {
		source_free(src);
		return -1;
	}
	return 0;
}

struct spool *tree_spool(struct tree *t, struct error *err)
{
	struct spool *spool = t->spool;

	if (spool)
		return spool;
	spool = spool_new(t->spool_dir, err);
	if (!spool)
		return NULL;
	if (add_source(t, spool_source(spool), false, err)) {
		spool_free(spool);
		return NULL;
	}
	t->spool = spool;
	return spool;
}

void tree_content_release(struct tree *t)
{
	for (uint32_t i = 0; i < t->nr_sources; i++)
		if (t->sources[i].owned)
			source_free(t->sources[i].src);
	free(t->sources);
	if (t->spool)
		spool_free(t->spool);
}

void tree_content_drop(struct tree *t, struct inode *inode)
{
	if (!S_ISREG(inode->mode))
		return;
	if (inode->nr_pieces && inode->content + inode->nr_pieces == t->pieces.nr)
		t->pieces.nr = inode->content; /* the last run: its room is free again */
	inode->content = TREE_NONE;
	inode->nr_pieces = 0;
}

/* Sources are few, and the one that was added last is the one that is being read. */
static int find_source(const struct tree *t, const struct source *src, uint32_t *out,
	struct error *err)
{
	for (uint32_t i = t->nr_sources; i > 0; i--)
		if (t->sources[i - 1].src == src) {
			*out = i - 1;
			return 0;
		}
	return error_set(
		err, ERROR_BUG, 0, "a piece of a file refers to a source that is not the tree's");
}

static int check_piece(const struct inode *inode, const struct piece *last,
	const struct tree_piece *piece, struct error *err)
{
	uint64_t end, src_end;

	if (!S_ISREG(inode->mode))
		return error_set(err, ERROR_BUG, 0, "content for what is not a regular file");
	if (num_add(piece->off, piece->len, &end) || end > inode->size ||
		num_add(piece->src_off, piece->len, &src_end))
		return error_set(err, ERROR_INPUT, 0, "a piece of a file lies outside its size");
	if (last && piece->off < last->off + last->len)
		return error_set(
			err, ERROR_INPUT, 0, "pieces of a file overlap or are out of order");
	return 0;
}

/*
 * Makes room for one more piece behind the file's run. A run of 2^k pieces is where room is made
 * for 2^k more; between those sizes there is room, so nothing needs to remember how much.
 */
static int grow_run(struct tree *t, struct inode *inode, struct error *err)
{
	uint32_t nr = inode->nr_pieces;
	uint32_t from = inode->content;
	uint32_t to = t->pieces.nr;

	if (nr & (nr - 1))
		return 0;
	if (nr == 0 || from + nr == to) {
		if (chunk_array_extend(&t->pieces, nr ? nr : 1, sizeof(struct piece), err))
			return -1;
		if (nr == 0)
			inode->content = to;
		return 0;
	}
	if (nr > TREE_NONE / 4)
		return error_set(err, ERROR_INPUT, 0, "a file has more than %u pieces", nr);
	if (chunk_array_extend(&t->pieces, 2 * nr, sizeof(struct piece), err))
		return -1;
	for (uint32_t i = 0; i < nr; i++)
		*tree_piece_at(t, to + i) = *tree_piece_at(t, from + i);
	inode->content = to;
	return 0;
}

int tree_add_piece(
	struct tree *t, tree_node node, const struct tree_piece *piece, struct error *err)
{
	struct inode *inode = tree_node_inode(t, node);
	struct piece *last = NULL;
	uint32_t src = 0;

	if (inode->nr_pieces)
		last = tree_piece_at(t, inode->content + inode->nr_pieces - 1);
	if (check_piece(inode, last, piece, err) || find_source(t, piece->src, &src, err))
		return -1;
	if (!piece->len)
		return 0;
	if (last && last->src == src && last->id == piece->id &&
		last->off + last->len == piece->off &&
		last->src_off + last->len == piece->src_off) {
		last->len += piece->len;
		return 0;
	}
	if (grow_run(t, inode, err))
		return -1;
	*tree_piece_at(t, inode->content + inode->nr_pieces++) = (struct piece){.off = piece->off,
		.len = piece->len, .id = piece->id, .src_off = piece->src_off, .src = src};
	return 0;
}

int tree_set_size(struct tree *t, tree_node node, uint64_t size, struct error *err)
{
	struct inode *inode = tree_node_inode(t, node);

	if (!S_ISREG(inode->mode))
		return error_set(err, ERROR_BUG, 0, "size for what is not a regular file");
	tree_content_drop(t, inode);
	inode->size = size;
	return 0;
}

uint32_t tree_nr_pieces(const struct tree *t, tree_node node)
{
	return tree_node_inode(t, node)->nr_pieces;
}

void tree_piece(const struct tree *t, tree_node node, uint32_t index, struct tree_piece *piece)
{
	const struct inode *inode = tree_node_inode(t, node);
	const struct piece *p;

	assert(index < inode->nr_pieces);
	p = tree_piece_at(t, inode->content + index);
	*piece = (struct tree_piece){.off = p->off, .len = p->len, .src = t->sources[p->src].src,
		.id = p->id, .src_off = p->src_off};
}

/* Index of the first piece that ends behind off. */
static uint32_t find_piece(const struct tree *t, const struct inode *inode, uint64_t off)
{
	uint32_t low = 0;
	uint32_t high = inode->nr_pieces;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct piece *p = tree_piece_at(t, inode->content + mid);

		if (p->off + p->len <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int tree_pread(const struct tree *t, tree_node node, void *buf, size_t len, uint64_t off,
	struct error *err)
{
	const struct inode *inode = tree_node_inode(t, node);
	unsigned char *to = buf;

	if (!S_ISREG(inode->mode) || off > inode->size || len > inode->size - off)
		return error_set(err, ERROR_BUG, 0, "read outside of a file in the tree");
	for (uint32_t i = find_piece(t, inode, off); len; i++) {
		const struct piece *p = NULL;
		uint64_t hole = len;
		size_t part;

		if (i < inode->nr_pieces) {
			p = tree_piece_at(t, inode->content + i);
			hole = p->off > off ? MIN(p->off - off, len) : 0;
		}
		memset(to, 0, hole);
		to += hole;
		off += hole;
		len -= hole;
		if (!p || !len)
			continue;
		part = MIN(len, p->off + p->len - off);
		if (source_pread(t->sources[p->src].src, p->id, to, part,
			    p->src_off + (off - p->off), err))
			return -1;
		to += part;
		off += part;
		len -= part;
	}
	return 0;
}
