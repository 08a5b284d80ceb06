/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents, in the order in which they lie on disk: directories are built and written, file
 * contents are referred to. What the last block of a file has behind its end, and what a block has
 * between two pieces, is zero: the kernel shows it to whoever maps the file.
 */
#include "fs/ext4_internal.h"

#include "base/num.h"

/* A file's pieces on their way over its runs. */
struct refer {
	struct ext4_out *out;
	tree_node node;
	uint32_t index, nr;
	struct tree_piece piece; /* number index, when index < nr */
};

static void next_piece(struct refer *r)
{
	if (++r->index < r->nr)
		tree_piece(r->out->b->t, r->node, r->index, &r->piece);
}

/* Bytes [off, end) of the file lie on disk from dev_off on. */
static int refer_bytes(
	struct refer *r, uint64_t off, uint64_t end, uint64_t dev_off, struct error *err)
{
	struct dev *dev = r->out->dev;
	const uint64_t delta = dev_off - off;

	while (off < end) {
		const struct tree_piece *p = &r->piece;
		uint64_t next = r->index < r->nr ? MAX(MIN(p->off, end), off) : end;

		if (next > off && dev_clear(dev, off + delta, next - off, EXTENT_ZERO, err) < 0)
			return -1;
		off = next;
		if (off == end)
			break;
		next = MIN(p->off + p->len, end);
		if (next > off && dev_refer(dev, off + delta, next - off, p->src, p->id,
					  p->src_off + (off - p->off), err) < 0)
			return -1;
		off = MAX(off, next);
		if (off == p->off + p->len)
			next_piece(r);
	}
	return 0;
}

static int write_file(struct ext4_out *out, const struct ext4_slot *slot, struct error *err)
{
	const uint64_t bs = out->b->block_size;
	struct refer r = {.out = out,
		.node = slot->node,
		.index = UINT32_MAX,
		.nr = tree_nr_pieces(out->b->t, slot->node)};
	struct ext4_run_iter it;
	struct ext4_run run;

	next_piece(&r);
	ext4_runs_of_slot(&it, out->b, slot);
	while (ext4_runs_next(&it, &run)) {
		if (refer_bytes(&r, run.lblk * bs, (run.lblk + run.len) * bs, run.block * bs, err) <
			0)
			return -1;
	}
	return 0;
}

static bool is_dir(const struct ext4_build *b, const struct ext4_slot *slot)
{
	struct tree_attr attr;

	if (slot->node == TREE_NONE)
		return true;
	tree_get(b->t, slot->node, &attr);
	return S_ISDIR(attr.mode);
}

int ext4_data_write(struct ext4_out *out, const uint32_t *order, uint32_t nr, struct error *err)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < nr; i++) {
		const struct ext4_slot *slot = &out->b->slots[order[i]];

		if (slot->kind != EXT4_CLASS_META)
			rc = write_file(out, slot, err);
		else if (is_dir(out->b, slot))
			rc = ext4_dir_write(out, order[i], err);
	}
	return rc;
}
