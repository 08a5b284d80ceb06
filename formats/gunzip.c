/* SPDX-License-Identifier: Apache-2.0 */
/* zlib's inflate, begun anew for each member. */
#include "formats/gunzip.h"

#include <stdbool.h>
#include <stdlib.h>

#define ZLIB_CONST /* next_in is const then */
#include <zlib.h>

#include "base/num.h"
#include "formats/repeat.h"

enum { OUT_SIZE = 256 << 10, GZIP_ONLY = 16 };

enum place { AT_MEMBER, IN_MEMBER, IN_PADDING };

struct gunzip {
	z_stream z;
	gunzip_sink_fn sink;
	gunzip_zeros_fn zeros; /* NULL: all goes to sink */
	void *arg;
	enum place place;
	bool any; /* a member has ended */
	struct repeat repeat;
	uint8_t out[OUT_SIZE];
};

struct gunzip *gunzip_new(gunzip_sink_fn sink, void *arg, struct error *err)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (!g || inflateInit2(&g->z, MAX_WBITS + GZIP_ONLY) != Z_OK) {
		free(g);
		error_nomem(err, "a decompressor");
		return NULL;
	}
	g->sink = sink;
	g->arg = arg;
	return g;
}

void gunzip_take_zeros(struct gunzip *g, gunzip_zeros_fn zeros)
{
	g->zeros = zeros;
}

void gunzip_free(struct gunzip *g)
{
	if (!g)
		return;
	inflateEnd(&g->z);
	free(g);
}

static int damaged(struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "its gzip data is damaged");
}

/* Decides at the start of a member whether there is one; *len bytes at *data, > 0. */
static int begin_member(struct gunzip *g, const uint8_t **data, size_t *len, struct error *err)
{
	if (g->place == AT_MEMBER && **data != 0) {
		g->place = IN_MEMBER;
		return 0;
	}
	if (!g->any)
		return damaged(err);
	g->place = IN_PADDING;
	for (; *len; (*data)++, (*len)--)
		if (**data)
			return error_set(err, ERROR_INPUT, 0, "there is something else behind its gzip data");
	return 0;
}

static int give_out(struct gunzip *g, struct error *err)
{
	size_t len = OUT_SIZE - g->z.avail_out;

	if (g->zeros)
		repeat_out(&g->repeat, g->out, len);
	return len ? g->sink(g->arg, g->out, len, err) : 0;
}

/* Inflates what z has until it wants more or the member ends. */
static int run_member(struct gunzip *g, struct error *err)
{
	const uint8_t *from = g->z.next_in;
	int ret = Z_OK;

	do {
		g->z.next_out = g->out;
		g->z.avail_out = OUT_SIZE;
		ret = inflate(&g->z, Z_NO_FLUSH);
		if (ret == Z_MEM_ERROR)
			return error_nomem(err, "a decompressor");
		if (ret != Z_OK && ret != Z_STREAM_END && ret != Z_BUF_ERROR)
			return damaged(err);
		if (give_out(g, err) < 0)
			return -1;
	} while (ret != Z_STREAM_END && (g->z.avail_in || !g->z.avail_out) && ret != Z_BUF_ERROR);
	if (g->zeros)
		repeat_in(&g->repeat, from, (size_t)(g->z.next_in - from));
	if (ret != Z_STREAM_END)
		return 0;
	repeat_end(&g->repeat);
	g->place = AT_MEMBER;
	g->any = true;
	return inflateReset(&g->z) == Z_OK ? 0 : damaged(err);
}

static int push_some(struct gunzip *g, const uint8_t **p, size_t *len, struct error *err)
{
	size_t n;

	if (g->place != IN_MEMBER && begin_member(g, p, len, err) < 0)
		return -1;
	if (!*len)
		return 0;
	n = MIN(*len, (size_t)1 << 30); /* zlib counts in 32 bits */
	g->z.next_in = *p;
	g->z.avail_in = (uInt)n;
	if (run_member(g, err) < 0)
		return -1;
	n -= g->z.avail_in;
	*p += n;
	*len -= n;
	return 0;
}

/* Members that are known, and of one that turned out to be another the bytes that seemed to be known. */
static int pass_known(struct gunzip *g, const uint8_t **p, size_t *len, struct error *err)
{
	const uint8_t *known = g->repeat.known;
	size_t again;

	if (repeat_pass(&g->repeat, p, len, &again, g->zeros, g->arg, err) < 0)
		return -1;
	return again ? push_some(g, &known, &again, err) : 0;
}

int gunzip_push(struct gunzip *g, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;

	while (len) {
		if (g->zeros && g->place == AT_MEMBER && pass_known(g, &p, &len, err) < 0)
			return -1;
		if (len && push_some(g, &p, &len, err) < 0)
			return -1;
	}
	return 0;
}

int gunzip_end(struct gunzip *g, struct error *err)
{
	if (g->place == IN_MEMBER || g->repeat.matched)
		return error_set(err, ERROR_INPUT, 0, "its gzip data ends too soon");
	return g->any ? 0 : damaged(err);
}
