/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of zeros is compressed once and written as often as there are such pieces. */
#include "formats/pack.h"

#include "base/num.h"
#include "formats/chunks.h"
#include "formats/deflate.h"
#include "formats/zstd_frame.h"

struct codec {
	uint64_t piece; /* bytes of the disk that are compressed by themselves */
	void *(*new_state)(int level, struct error *err);
	void (*free_state)(void *state);
	int (*compress)(void *state, const void *data, size_t len, struct buf *out, struct error *err);
};

struct pack {
	const struct codec *codec;
	int level;
	struct out *out;
	void *state;      /* a compressor for pieces of zeros */
	uint8_t *zeros;   /* a piece of them */
	struct buf whole; /* a whole piece of zeros, compressed; empty: not needed so far */
};

static void *new_state(void *arg, struct error *err)
{
	const struct pack *p = arg;

	return p->codec->new_state(p->level, err);
}

static int work(struct chunk *c, void *arg, struct error *err)
{
	const struct pack *p = arg;

	return p->codec->compress(c->state, c->data, c->len, &c->out, err);
}

static int emit_zeros(struct pack *p, size_t len, struct error *err)
{
	CLEANUP_BUF struct buf part = BUF_INIT(0);

	if (len < p->codec->piece) {
		if (p->codec->compress(p->state, p->zeros, len, &part, err) < 0)
			return -1;
		return out_write(p->out, part.data, part.len, err);
	}
	if (!p->whole.len && p->codec->compress(p->state, p->zeros, len, &p->whole, err) < 0)
		return -1;
	return out_write(p->out, p->whole.data, p->whole.len, err);
}

static int emit(struct chunk *c, void *arg, struct error *err)
{
	struct pack *p = arg;

	return c->data ? out_write(p->out, c->out.data, c->out.len, err) : emit_zeros(p, c->len, err);
}

static int run(struct pack *p, struct dev *dev, const struct format_write_opts *opts, struct error *err)
{
	const struct chunks_opts chunks = {
		CHUNKS_FROM(opts),
		.size = p->codec->piece,
		.what = "compressing",
		.all = true,
		.new_state = new_state,
		.free_state = p->codec->free_state,
		.work = work,
		.emit = emit,
		.arg = p,
	};

	p->state = new_state(p, err);
	p->zeros = calloc(1, (size_t)p->codec->piece);
	if (!p->zeros)
		return error_nomem(err, "a piece of zeros");
	return p->state ? chunks_run(dev, &chunks, err) : -1;
}

static int write_packed(const struct codec *codec, struct dev *dev, struct out *out,
	const struct format_write_opts *opts, struct error *err)
{
	struct pack p = {.codec = codec, .level = opts->level, .out = out};
	int ret = run(&p, dev, opts, err);

	if (p.state)
		codec->free_state(p.state);
	free(p.zeros);
	buf_release(&p.whole);
	return ret;
}

static void *gzip_new(int level, struct error *err)
{
	return deflate_new(level, err);
}

static void gzip_free(void *state)
{
	deflate_free(state);
}

static int gzip_compress(void *state, const void *data, size_t len, struct buf *out, struct error *err)
{
	return deflate_gzip(state, data, len, out, err);
}

static int write_gzip(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	static const struct codec codec = {MIB, gzip_new, gzip_free, gzip_compress};

	return write_packed(&codec, dev, out, opts, err);
}

static void *zstd_new(int level, struct error *err)
{
	return zstd_frame_new(level, err);
}

static void zstd_free(void *state)
{
	zstd_frame_free(state);
}

static int zstd_compress(void *state, const void *data, size_t len, struct buf *out, struct error *err)
{
	return zstd_frame_add(state, data, len, out, err);
}

/* zstd finds what lies further back than deflate does, so its pieces are larger. */
static int write_zstd(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	static const struct codec codec = {4 * MIB, zstd_new, zstd_free, zstd_compress};

	return write_packed(&codec, dev, out, opts, err);
}

const struct format format_raw_gz = {
	.name = "raw.gz",
	.title = "a raw disk compressed by gzip",
	.suffixes = (const char *const[]){".raw.gz", ".img.gz", NULL},
	.flags = FORMAT_LEVEL,
	.level_max = DEFLATE_LEVEL_MAX,
	.write = write_gzip,
};

const struct format format_raw_zst = {
	.name = "raw.zst",
	.title = "a raw disk compressed by zstd",
	.suffixes = (const char *const[]){".raw.zst", ".img.zst", NULL},
	.flags = FORMAT_LEVEL,
	.level_max = ZSTD_FRAME_LEVEL_MAX,
	.write = write_zstd,
};
