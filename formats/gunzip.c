/* SPDX-License-Identifier: Apache-2.0 */
/* zlib's inflate, begun anew for each member. */
#include "formats/gunzip.h"

#include <stdbool.h>
#include <stdlib.h>

#define ZLIB_CONST /* next_in is const then */
#include <zlib.h>

#include "base/num.h"

enum { OUT_SIZE = 256 << 10, GZIP_ONLY = 16 };

enum place { AT_MEMBER, IN_MEMBER, IN_PADDING };

struct gunzip {
	z_stream z;
	gunzip_sink_fn sink;
	void *arg;
	enum place place;
	bool any; /* a member has ended */
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

/* Inflates what z has until it wants more or the member ends. */
static int run_member(struct gunzip *g, struct error *err)
{
	int ret = Z_OK;

	do {
		g->z.next_out = g->out;
		g->z.avail_out = OUT_SIZE;
		ret = inflate(&g->z, Z_NO_FLUSH);
		if (ret == Z_MEM_ERROR)
			return error_nomem(err, "a decompressor");
		if (ret != Z_OK && ret != Z_STREAM_END && ret != Z_BUF_ERROR)
			return damaged(err);
		if (g->z.avail_out < OUT_SIZE && g->sink(g->arg, g->out, OUT_SIZE - g->z.avail_out, err) < 0)
			return -1;
	} while (ret != Z_STREAM_END && (g->z.avail_in || !g->z.avail_out) && ret != Z_BUF_ERROR);
	if (ret != Z_STREAM_END)
		return 0;
	g->place = AT_MEMBER;
	g->any = true;
	return inflateReset(&g->z) == Z_OK ? 0 : damaged(err);
}

int gunzip_push(struct gunzip *g, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;

	while (len) {
		size_t n = MIN(len, (size_t)1 << 30); /* zlib counts in 32 bits */

		if (g->place != IN_MEMBER && begin_member(g, &p, &len, err) < 0)
			return -1;
		if (!len)
			break;
		n = MIN(len, n);
		g->z.next_in = p;
		g->z.avail_in = (uInt)n;
		if (run_member(g, err) < 0)
			return -1;
		p += n - g->z.avail_in;
		len -= n - g->z.avail_in;
	}
	return 0;
}

int gunzip_end(struct gunzip *g, struct error *err)
{
	if (g->place == IN_MEMBER)
		return error_set(err, ERROR_INPUT, 0, "its gzip data ends too soon");
	return g->any ? 0 : damaged(err);
}
