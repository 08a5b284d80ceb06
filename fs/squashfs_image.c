/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A squashfs, in the order in which it lies:
 *
 *   | super block | contents | fragments | inodes | directories | fragment table | ids | xattrs |
 *
 * Contents are compressed by libsquashfs's block processor, which hands blocks to its threads and
 * writes them in the order in which they came: so the number of threads changes no byte. Files come
 * in the order of their inodes' numbers; equal ones are stored once (bytes compared, not sums).
 */
#include "fs/squashfs_internal.h"

#include <stdlib.h>
#include <string.h>

#include <sqfs/block_processor.h>
#include <sqfs/block_writer.h>
#include <sqfs/compressor.h>
#include <sqfs/frag_table.h>

#include "base/num.h"

enum { CHUNK = 8 * SQUASHFS_BLOCK, BACKLOG_A_WORKER = 10 };

/* What is needed while contents are written. */
struct contents {
	sqfs_compressor_t *uncompress;
	sqfs_block_writer_t *writer;
	sqfs_frag_table_t *fragments;
	sqfs_block_processor_t *processor;
	uint8_t *chunk;
};

static void drop(void *object)
{
	if (object)
		sqfs_destroy(object);
}

static void build_release(struct squashfs_build *b)
{
	uint32_t nr = tree_nr_inodes(b->fs->tree);

	for (uint32_t i = 0; b->files && i < nr; i++)
		if (b->files[i])
			sqfs_free(b->files[i]);
	free(b->files);
	free(b->dirs);
	free(b->number);
	free(b->links);
	free(b->nodes);
	free(b->refs);
	free(b->written);
	drop(b->dirs_writer);
	drop(b->dir_table);
	drop(b->inode_table);
	drop(b->xattrs);
	drop(b->ids);
	drop(b->cmp);
	drop(b->file);
}

static int new_compressor(const sqfs_file_t *file, uint16_t flags, sqfs_compressor_t **out,
	struct error *err)
{
	sqfs_compressor_config_t config;
	int code = sqfs_compressor_config_init(&config, SQFS_COMP_ZSTD, SQUASHFS_BLOCK, flags);

	if (code == 0)
		code = sqfs_compressor_create(&config, out);
	return code ? squashfs_error(file, code, "start the compression", err) : 0;
}

static int build_init(struct squashfs_build *b, const struct fs *fs, int fd, struct error *err)
{
	size_t nr = tree_nr_inodes(fs->tree), nodes = tree_nr_nodes(fs->tree);

	b->fs = fs;
	b->dirs = calloc(nodes + 1, sizeof(*b->dirs));
	b->nodes = calloc(nr + 1, sizeof(*b->nodes));
	b->number = calloc(nr + 1, sizeof(*b->number));
	b->links = calloc(nr + 1, sizeof(*b->links));
	b->files = calloc(nr + 1, sizeof(*b->files));
	b->refs = calloc(nr + 1, sizeof(*b->refs));
	b->written = calloc(nr + 1, sizeof(*b->written));
	b->file = squashfs_file_new(fd);
	b->ids = sqfs_id_table_create(0);
	b->xattrs = sqfs_xattr_writer_create(0);
	if (!b->dirs || !b->nodes || !b->number || !b->links || !b->files || !b->refs ||
		!b->written || !b->file || !b->ids || !b->xattrs)
		return error_nomem(err, "a squashfs");
	if (new_compressor(b->file, 0, &b->cmp, err) < 0)
		return -1;
	b->inode_table = sqfs_meta_writer_create(b->file, b->cmp, 0);
	b->dir_table = sqfs_meta_writer_create(b->file, b->cmp, SQFS_META_WRITER_KEEP_IN_MEMORY);
	b->dirs_writer = b->dir_table ? sqfs_dir_writer_create(b->dir_table, 0) : NULL;
	if (!b->inode_table || !b->dirs_writer)
		return error_nomem(err, "a squashfs");
	return 0;
}

static int contents_init(struct squashfs_build *b, struct contents *c, struct error *err)
{
	const uint32_t workers = MAX(b->fs->opts.workers, 1u);
	sqfs_block_processor_desc_t desc = {
		.size = sizeof(desc),
		.max_block_size = SQUASHFS_BLOCK,
		.num_workers = workers,
		.max_backlog = workers * BACKLOG_A_WORKER,
		.cmp = b->cmp,
		.file = b->file,
	};
	int code;

	if (new_compressor(b->file, SQFS_COMP_FLAG_UNCOMPRESS, &c->uncompress, err) < 0)
		return -1;
	c->writer = sqfs_block_writer_create(b->file, SQUASHFS_PAD, 0);
	c->fragments = sqfs_frag_table_create(0);
	c->chunk = malloc(CHUNK);
	if (!c->writer || !c->fragments || !c->chunk)
		return error_nomem(err, "a squashfs");
	desc.uncmp = c->uncompress;
	desc.wr = c->writer;
	desc.tbl = c->fragments;
	code = sqfs_block_processor_create_ex(&desc, &c->processor);
	return code ? squashfs_error(b->file, code, "start the compression", err) : 0;
}

static void contents_release(struct contents *c)
{
	drop(c->processor);
	drop(c->fragments);
	drop(c->writer);
	drop(c->uncompress);
	free(c->chunk);
}

static int write_content(struct squashfs_build *b, struct contents *c, tree_node node,
	const struct tree_attr *attr, struct error *err)
{
	int code = sqfs_block_processor_begin_file(c->processor, &b->files[attr->inode], NULL, 0);

	for (uint64_t off = 0; code == 0 && off < attr->size;) {
		size_t step = MIN(attr->size - off, (uint64_t)CHUNK);

		if (b->fs->opts.cancelled && b->fs->opts.cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		if (tree_pread(b->fs->tree, node, c->chunk, step, off, err) < 0)
			return -1;
		code = sqfs_block_processor_append(c->processor, c->chunk, step);
		off += step;
	}
	if (code == 0)
		code = sqfs_block_processor_end_file(c->processor);
	return code ? squashfs_error(b->file, code, "write the contents", err) : 0;
}

static int write_contents(struct squashfs_build *b, struct contents *c, struct error *err)
{
	int code;

	for (uint32_t i = 0; i < b->nr_inodes; i++) {
		struct tree_attr attr;

		tree_get(b->fs->tree, b->nodes[i], &attr);
		if (S_ISREG(attr.mode) && write_content(b, c, b->nodes[i], &attr, err) < 0)
			return -1;
	}
	code = sqfs_block_processor_finish(c->processor);
	return code ? squashfs_error(b->file, code, "write the contents", err) : 0;
}

static int begin(struct squashfs_build *b, struct error *err)
{
	int64_t epoch = b->fs->opts.epoch;
	uint32_t time = (uint32_t)(epoch < 0 ? 0 : MIN(epoch, (int64_t)UINT32_MAX));
	int code = sqfs_super_init(&b->super, SQUASHFS_BLOCK, time, SQFS_COMP_ZSTD);

	if (code == 0)
		code = sqfs_super_write(&b->super, b->file);
	if (code == 0)
		code = b->cmp->write_options(b->cmp, b->file);
	if (code > 0)
		b->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
	return code < 0 ? squashfs_error(b->file, code, "write the super block", err) : 0;
}

static int write_tables(struct squashfs_build *b, sqfs_frag_table_t *fragments, struct error *err)
{
	int code;

	b->super.inode_count = b->nr_inodes;
	b->super.inode_table_start = b->file->get_size(b->file);
	if (squashfs_nodes_write(b, err) < 0)
		return -1;
	code = sqfs_meta_writer_flush(b->inode_table);
	if (code == 0)
		code = sqfs_meta_writer_flush(b->dir_table);
	b->super.directory_table_start = b->file->get_size(b->file);
	if (code == 0)
		code = sqfs_meta_write_write_to_file(b->dir_table);
	if (code == 0)
		code = sqfs_frag_table_write(fragments, b->file, &b->super, b->cmp);
	if (code == 0)
		code = sqfs_id_table_write(b->ids, b->file, &b->super, b->cmp);
	if (code == 0)
		code = sqfs_xattr_writer_flush(b->xattrs, b->file, &b->super, b->cmp);
	b->super.bytes_used = b->file->get_size(b->file);
	if (code == 0)
		code = sqfs_super_write(&b->super, b->file);
	if (code == 0)
		code = b->file->truncate(b->file, num_align(b->super.bytes_used, SQUASHFS_PAD));
	return code ? squashfs_error(b->file, code, "write the tables", err) : 0;
}

int squashfs_image_write(const struct fs *fs, int fd, uint64_t *bytes, uint32_t *inodes,
	struct error *err)
{
	struct squashfs_build b = {.fs = fs};
	struct contents c = {NULL, NULL, NULL, NULL, NULL};
	int r = build_init(&b, fs, fd, err);

	if (r == 0)
		r = squashfs_number(&b, err);
	if (r == 0)
		r = begin(&b, err);
	if (r == 0)
		r = contents_init(&b, &c, err);
	if (r == 0)
		r = write_contents(&b, &c, err);
	if (r == 0)
		r = write_tables(&b, c.fragments, err);
	if (r == 0)
		*bytes = b.file->get_size(b.file);
	*inodes = b.nr_inodes;
	contents_release(&c);
	build_release(&b);
	return r;
}
