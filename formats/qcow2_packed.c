/* SPDX-License-Identifier: Apache-2.0 */
/* Workers lend decompressors from a list, and decompress without holding the lock. */
#include "formats/qcow2_packed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "formats/deflate.h"
#include "formats/zstd_frame.h"

enum { KEPT = 16 };

struct worker {
	struct worker *next;
	struct inflate *inflate;   /* or */
	struct zstd_unframe *zstd; /* the other is NULL */
	uint8_t *in;
};

struct kept {
	uint64_t off;  /* of the file */
	uint32_t len;
	uint64_t used; /* 0: empty */
	bool busy;     /* its data is being made by one thread, or read by it */
	uint8_t *data; /* NULL until it was used once; owned */
};

struct qcow2_packed {
	struct dev *file;
	const char *path;
	const struct qcow2_header *header;
	size_t size;          /* bytes of a cluster */
	size_t in_size;       /* of the largest compressed one */
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t ready; /* some kept is not busy any more */
	struct worker *idle;
	uint64_t clock;
	struct kept kept[KEPT];
};

struct qcow2_packed *qcow2_packed_new(struct dev *file, const char *path, const struct qcow2_header *h,
	struct error *err)
{
	struct qcow2_packed *p = calloc(1, sizeof(*p));

	if (!p)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a qcow2 image");
	p->file = file;
	p->path = path;
	p->header = h;
	p->size = (size_t)1 << h->cluster_bits;
	/* An entry has no room for more than two clusters, and a file of few bytes has no large ones. */
	p->in_size = (size_t)MIN(2 * (uint64_t)p->size, file->size);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->ready, NULL);
	return p;
}

static void free_worker(struct worker *w)
{
	inflate_free(w->inflate);
	zstd_unframe_free(w->zstd);
	free(w->in);
	free(w);
}
DEFINE_CLEANUP(worker, struct worker, free_worker)

void qcow2_packed_free(struct qcow2_packed *p)
{
	if (!p)
		return;
	for (struct worker *w = p->idle, *next; w; w = next) {
		next = w->next;
		free_worker(w);
	}
	for (size_t i = 0; i < KEPT; i++)
		free(p->kept[i].data);
	pthread_cond_destroy(&p->ready);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct worker *new_worker(const struct qcow2_packed *p, struct error *err)
{
	CLEANUP(worker_cleanup) struct worker *w = calloc(1, sizeof(*w));

	if (w)
		w->in = malloc(p->in_size);
	if (!w || !w->in)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a cluster of a qcow2 image");
	if (p->header->zstd)
		w->zstd = zstd_unframe_new(err);
	else
		w->inflate = inflate_new(err);
	return w->zstd || w->inflate ? steal_ptr(&w) : NULL;
}

static struct worker *lend_worker(struct qcow2_packed *p, struct error *err)
{
	struct worker *w;

	pthread_mutex_lock(&p->lock);
	w = p->idle;
	if (w)
		p->idle = w->next;
	pthread_mutex_unlock(&p->lock);
	return w ? w : new_worker(p, err);
}

static void return_worker(struct qcow2_packed *p, struct worker *w)
{
	pthread_mutex_lock(&p->lock);
	w->next = p->idle;
	p->idle = w;
	pthread_mutex_unlock(&p->lock);
}

static int bad_cluster(const struct qcow2_packed *p, const struct qcow2_cluster *c, const char *what,
	struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a damaged qcow2 image: the compressed cluster at byte %llu %s", p->path,
		(unsigned long long)c->off, what);
}

/* The last sector may not be there as a whole: only the data must be. */
static int unpack(struct qcow2_packed *p, struct worker *w, const struct qcow2_cluster *c, void *out,
	struct error *err)
{
	size_t len;
	int ret;

	if (c->off >= p->file->size)
		return bad_cluster(p, c, "lies outside of it, so it may be cut off", err);
	len = (size_t)MIN((uint64_t)c->len, p->file->size - c->off);
	if (dev_pread(p->file, w->in, len, c->off, err) < 0)
		return -1;
	ret = w->zstd ? zstd_unframe_get(w->zstd, w->in, len, out, p->size, NULL)
		      : inflate_raw(w->inflate, w->in, len, out, p->size, NULL);
	return ret < 0 ? bad_cluster(p, c, "cannot be decompressed", err) : 0;
}

static int load(struct qcow2_packed *p, const struct qcow2_cluster *c, void *out, struct error *err)
{
	struct worker *w = lend_worker(p, err);
	int ret = w ? unpack(p, w, c, out, err) : -1;

	if (w)
		return_worker(p, w);
	return ret;
}

/* Entries that differ in their length alone are not the same: one of them may be damaged. */
static bool is_of(const struct kept *k, const struct qcow2_cluster *c)
{
	return k->used && k->off == c->off && k->len == c->len;
}

/* The cluster's place, or the one that was not used for the longest time; NULL: all are busy. */
static struct kept *find_place(struct qcow2_packed *p, const struct qcow2_cluster *c)
{
	struct kept *oldest = NULL;

	for (size_t i = 0; i < KEPT; i++) {
		struct kept *k = &p->kept[i];

		if (is_of(k, c))
			return k;
		if (!k->busy && (!oldest || k->used < oldest->used))
			oldest = k;
	}
	return oldest;
}

/* Takes a place for this thread alone. *made: the cluster is there already. */
static struct kept *begin(struct qcow2_packed *p, const struct qcow2_cluster *c, bool *made)
{
	struct kept *k;

	pthread_mutex_lock(&p->lock);
	while (!(k = find_place(p, c)) || k->busy)
		pthread_cond_wait(&p->ready, &p->lock);
	*made = is_of(k, c);
	k->off = c->off;
	k->len = c->len;
	k->used = ++p->clock;
	k->busy = true;
	pthread_mutex_unlock(&p->lock);
	return k;
}

static void end(struct qcow2_packed *p, struct kept *k, bool good)
{
	pthread_mutex_lock(&p->lock);
	if (!good)
		k->used = 0;
	k->busy = false;
	pthread_cond_broadcast(&p->ready);
	pthread_mutex_unlock(&p->lock);
}

static int read_part(struct qcow2_packed *p, const struct qcow2_cluster *c, uint64_t skip, void *buf,
	size_t len, struct error *err)
{
	bool made;
	struct kept *k = begin(p, c, &made);
	int ret = 0;

	if (!k->data)
		k->data = malloc(p->size);
	if (!k->data)
		ret = error_nomem(err, "a cluster of a qcow2 image");
	else if (!made)
		ret = load(p, c, k->data, err);
	if (ret == 0)
		memcpy(buf, k->data + skip, len);
	end(p, k, ret == 0);
	return ret;
}

int qcow2_packed_read(struct qcow2_packed *p, const struct qcow2_cluster *c, uint64_t skip, void *buf,
	size_t len, struct error *err)
{
	return len == p->size ? load(p, c, buf, err) : read_part(p, c, skip, buf, len, err);
}
