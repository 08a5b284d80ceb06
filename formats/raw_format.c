/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images as a format of the table: into a file as raw.c does it, elsewhere byte after byte. */
#include "formats/raw_format.h"

#include "base/num.h"
#include "formats/chunks.h"
#include "formats/raw.h"

static int emit(struct chunk *c, void *arg, struct error *err)
{
	return c->data ? out_sparse(arg, c->data, c->len, err) : out_zeros(arg, c->len, err);
}

int raw_stream(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	const struct chunks_opts chunks = {
		CHUNKS_FROM(opts),
		.size = MIB,
		.what = "writing an image",
		.all = true,
		.emit = emit,
		.arg = out,
	};

	return chunks_run(dev, &chunks, err);
}

static int write_file(struct dev *dev, const char *path, const struct format_write_opts *opts,
	struct error *err)
{
	const struct raw_opts raw = {
		.workers = opts->workers,
		.progress = opts->progress,
		.durable = opts->durable,
		.cancelled = opts->cancelled,
		.block = opts->block,
		.block_arg = opts->block_arg,
	};

	return raw_write(dev, path, &raw, err);
}

const struct format format_raw = {
	.name = "raw",
	.title = "a raw disk",
	.suffixes = (const char *const[]){".raw", ".img", NULL},
	.write = raw_stream,
	.write_file = write_file,
};
