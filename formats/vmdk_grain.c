/* SPDX-License-Identifier: Apache-2.0 */
/* Workers lend decompressors from a list, and inflate without holding the lock. */
#include "formats/vmdk_grain.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "formats/deflate.h"

/* Grains of which a part was read: 2 MiB at 64 KiB each. */
enum { CACHED = 32, MARKER_SHORT = 4 };

struct worker {
	struct worker *next;
	struct inflate *inflate;
	uint8_t *in, *out; /* a compressed and a whole grain */
};

struct cached {
	uint64_t grain, used; /* used 0: empty */
	uint8_t *data;
};

struct vmdk_grains {
	struct dev *file;
	const char *path;
	const struct vmdk_header *header;
	size_t size;    /* bytes of a grain */
	size_t in_size; /* of the largest compressed one */
	pthread_mutex_t lock; /* of what follows */
	struct worker *idle;
	uint64_t clock;
	struct cached cached[CACHED];
};

struct vmdk_grains *vmdk_grains_new(struct dev *file, const char *path, const struct vmdk_header *h,
	struct error *err)
{
	struct vmdk_grains *g = calloc(1, sizeof(*g));

	if (!g) {
		error_nomem(err, "a VMDK's grains");
		return NULL;
	}
	g->file = file;
	g->path = path;
	g->header = h;
	g->size = h->grain_size * VMDK_SECTOR;
	/* Deflate never needs 2 bytes a byte, and a file of few bytes has no large grains. */
	g->in_size = (size_t)MIN(2 * g->size + VMDK_SECTOR, file->size);
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

static void free_worker(struct worker *w)
{
	inflate_free(w->inflate);
	free(w->in);
	free(w->out);
	free(w);
}
DEFINE_CLEANUP(worker, struct worker, free_worker)

void vmdk_grains_free(struct vmdk_grains *g)
{
	if (!g)
		return;
	for (struct worker *w = g->idle, *next; w; w = next) {
		next = w->next;
		free_worker(w);
	}
	for (size_t i = 0; i < CACHED; i++)
		free(g->cached[i].data);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static struct worker *new_worker(const struct vmdk_grains *g, struct error *err)
{
	CLEANUP(worker_cleanup) struct worker *w = calloc(1, sizeof(*w));

	if (w) {
		w->in = malloc(g->in_size);
		w->out = malloc(g->size);
	}
	if (!w || !w->in || !w->out) {
		error_nomem(err, "a grain of a VMDK");
		return NULL;
	}
	w->inflate = inflate_new(err);
	return w->inflate ? steal_ptr(&w) : NULL;
}

static struct worker *lend_worker(struct vmdk_grains *g, struct error *err)
{
	struct worker *w;

	pthread_mutex_lock(&g->lock);
	w = g->idle;
	if (w)
		g->idle = w->next;
	pthread_mutex_unlock(&g->lock);
	return w ? w : new_worker(g, err);
}

static void return_worker(struct vmdk_grains *g, struct worker *w)
{
	pthread_mutex_lock(&g->lock);
	w->next = g->idle;
	g->idle = w;
	pthread_mutex_unlock(&g->lock);
}

static int bad_grain(const struct vmdk_grains *g, uint64_t grain, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' is damaged: grain %llu %s", g->path,
		(unsigned long long)grain, what);
}

/*
 * The marker at sector: *off and *len of the compressed bytes, which lie in the file and fit a
 * worker's memory.
 */
static int read_marker(struct vmdk_grains *g, uint64_t grain, uint32_t sector, uint64_t *off,
	size_t *len, struct error *err)
{
	bool with_lba = g->header->flags & VMDK_FLAG_MARKERS;
	size_t size = with_lba ? VMDK_MARKER : MARKER_SHORT;
	uint64_t at = (uint64_t)sector * VMDK_SECTOR;
	uint8_t marker[VMDK_MARKER];

	if (at > g->file->size || size > g->file->size - at)
		return bad_grain(g, grain, "lies outside of the file", err);
	if (dev_pread(g->file, marker, size, at, err) < 0)
		return -1;
	if (with_lba && num_get_le64(marker) != grain * g->header->grain_size)
		return bad_grain(g, grain, "is not where its table says", err);
	*off = at + size;
	*len = num_get_le32(marker + size - 4);
	if (!*len || *len > g->in_size || *len > g->file->size - *off)
		return bad_grain(g, grain, "has an impossible length", err);
	return 0;
}

/* The last grain of a disk may end where the disk does. */
static int inflate_grain(const struct vmdk_grains *g, struct worker *w, uint64_t grain, size_t len,
	uint8_t *out, struct error *err)
{
	uint64_t left = g->header->capacity * VMDK_SECTOR - grain * g->size;

	if (inflate_zlib(w->inflate, w->in, len, out, g->size, NULL) == 0)
		return 0;
	if (left < g->size) {
		memset(out + left, 0, g->size - left);
		if (inflate_zlib(w->inflate, w->in, len, out, left, NULL) == 0)
			return 0;
	}
	return bad_grain(g, grain, "cannot be decompressed", err);
}

static int load(struct vmdk_grains *g, struct worker *w, uint64_t grain, uint32_t sector, uint8_t *out,
	struct error *err)
{
	uint64_t off = 0;
	size_t len = 0;

	if (read_marker(g, grain, sector, &off, &len, err) < 0 ||
		dev_pread(g->file, w->in, len, off, err) < 0)
		return -1;
	return inflate_grain(g, w, grain, len, out, err);
}

static bool take_cached(
	struct vmdk_grains *g, uint64_t grain, uint64_t skip, void *buf, size_t len)
{
	bool found = false;

	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < CACHED && !found; i++) {
		struct cached *c = &g->cached[i];

		if (!c->used || c->grain != grain)
			continue;
		memcpy(buf, c->data + skip, len);
		c->used = ++g->clock;
		found = true;
	}
	pthread_mutex_unlock(&g->lock);
	return found;
}

/* Swaps the worker's memory with that of the grain that was not used for the longest time. */
static int keep(struct vmdk_grains *g, uint64_t grain, struct worker *w, struct error *err)
{
	struct cached *oldest = &g->cached[0];
	uint8_t *spare;

	pthread_mutex_lock(&g->lock);
	for (size_t i = 1; i < CACHED; i++) {
		if (g->cached[i].used < oldest->used)
			oldest = &g->cached[i];
	}
	spare = oldest->data ? oldest->data : malloc(g->size);
	if (spare) {
		*oldest = (struct cached){.grain = grain, .used = ++g->clock, .data = w->out};
		w->out = spare;
	}
	pthread_mutex_unlock(&g->lock);
	return spare ? 0 : error_nomem(err, "a grain of a VMDK");
}

int vmdk_grains_read(struct vmdk_grains *g, uint64_t grain, uint32_t sector, uint64_t skip, void *buf,
	size_t len, struct error *err)
{
	bool whole = len == g->size;
	struct worker *w;
	int ret;

	if (!whole && take_cached(g, grain, skip, buf, len))
		return 0;
	w = lend_worker(g, err);
	if (!w)
		return -1;
	ret = load(g, w, grain, sector, whole ? buf : w->out, err);
	if (ret == 0 && !whole) {
		memcpy(buf, w->out + skip, len);
		ret = keep(g, grain, w, err);
	}
	return_worker(g, w);
	return ret;
}
