/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk of a qcow2 image as a device. A read takes runs of clusters together: zeros at once, plain ones
 * that lie one behind another in one read, compressed ones singly.
 */
#include "formats/qcow2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "formats/qcow2_header.h"
#include "formats/qcow2_map.h"
#include "formats/qcow2_packed.h"

struct qcow2 {
	struct dev dev;
	struct dev *file; /* owned */
	char *path;       /* owned */
	struct qcow2_header header;
	struct qcow2_map *map;       /* owned */
	struct qcow2_packed *packed; /* owned */
};

/* A run of clusters of one kind, in one piece of the file if they are plain. */
struct run {
	struct qcow2_cluster cluster; /* the first one */
	uint64_t skip;                /* bytes of it before the run */
	uint64_t len;                 /* bytes */
};

typedef int (*run_fn)(struct qcow2 *q, const struct run *run, void *arg, struct error *err);

static size_t count_alike(const struct qcow2_cluster *c, size_t nr, uint64_t cluster)
{
	size_t n = 1;

	if (c->kind == QCOW2_PACKED)
		return 1;
	while (n < nr && c[n].kind == c->kind && (c->kind == QCOW2_ZERO || c[n].off == c->off + n * cluster))
		n++;
	return n;
}

/* Calls fn for the runs of one batch, up to end; *off goes on. */
static int run_batch(struct qcow2 *q, uint64_t *off, uint64_t end, run_fn fn, void *arg,
	struct error *err)
{
	uint64_t cluster = UINT64_C(1) << q->header.cluster_bits, first = *off / cluster;
	struct qcow2_cluster clusters[QCOW2_BATCH];
	size_t nr = 0;

	if (qcow2_map_get(q->map, first, (end - 1) / cluster - first + 1, clusters, &nr, err) < 0)
		return -1;
	for (size_t i = 0, n; i < nr; i += n) {
		struct run run = {.cluster = clusters[i], .skip = *off % cluster};

		n = count_alike(clusters + i, nr - i, cluster);
		run.len = MIN(end - *off, n * cluster - run.skip);
		if (fn(q, &run, arg, err) < 0)
			return -1;
		*off += run.len;
	}
	return 0;
}

static int for_runs(struct qcow2 *q, uint64_t off, uint64_t len, run_fn fn, void *arg, struct error *err)
{
	uint64_t cluster = UINT64_C(1) << q->header.cluster_bits, end = off + len;

	while (off < end) {
		uint64_t first = off / cluster;
		uint64_t hole = qcow2_map_hole(q->map, first, (end - 1) / cluster - first + 1);
		struct run run = {.skip = off % cluster};

		if (!hole) {
			if (run_batch(q, &off, end, fn, arg, err) < 0)
				return -1;
			continue;
		}
		run.len = MIN(end - off, hole * cluster - run.skip);
		if (fn(q, &run, arg, err) < 0)
			return -1;
		off += run.len;
	}
	return 0;
}

static int check_inside(const struct qcow2 *q, const struct run *run, struct error *err)
{
	uint64_t at = run->cluster.off + run->skip;

	if (at <= q->file->size && run->len <= q->file->size - at)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a damaged qcow2 image: clusters from byte %llu on lie outside of it, so it may be cut off",
		q->path, (unsigned long long)run->cluster.off);
}

/* arg: where the caller's memory goes on. */
static int read_run(struct qcow2 *q, const struct run *run, void *arg, struct error *err)
{
	uint8_t **to = arg;
	int ret = 0;

	if (run->cluster.kind == QCOW2_ZERO)
		memset(*to, 0, run->len);
	else if (run->cluster.kind == QCOW2_PACKED)
		ret = qcow2_packed_read(q->packed, &run->cluster, run->skip, *to, run->len, err);
	else if (!(ret = check_inside(q, run, err)))
		ret = dev_pread(q->file, *to, run->len, run->cluster.off + run->skip, err);
	*to += run->len;
	return ret;
}

static int qcow2_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	uint8_t *to = buf;

	return for_runs((struct qcow2 *)dev, off, len, read_run, &to, err);
}

struct listing {
	struct extent_list *list;
	uint64_t off; /* of the disk, where the next run begins */
};

/* Clusters that were allocated ahead are holes of the file: those read as zeros too. */
static int list_plain(struct qcow2 *q, const struct run *run, struct listing *l, struct error *err)
{
	uint64_t at = run->cluster.off + run->skip;
	struct extent_list found = EXTENT_LIST_INIT;
	int ret = check_inside(q, run, err);

	if (ret == 0)
		ret = dev_extents(q->file, at, run->len, &found, err);
	for (size_t i = 0; i < found.nr && ret == 0; i++) {
		const struct extent *e = &found.items[i];

		ret = extent_list_add(l->list, l->off + (e->off - at), e->len,
			e->kind == EXTENT_DATA ? EXTENT_DATA : EXTENT_ZERO, err);
	}
	extent_list_release(&found);
	return ret;
}

static int list_run(struct qcow2 *q, const struct run *run, void *arg, struct error *err)
{
	struct listing *l = arg;
	int ret = run->cluster.kind == QCOW2_PLAIN ? list_plain(q, run, l, err) :
		extent_list_add(l->list, l->off, run->len,
			run->cluster.kind == QCOW2_ZERO ? EXTENT_ZERO : EXTENT_DATA, err);

	l->off += run->len;
	return ret;
}

static int qcow2_extents(struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list,
	struct error *err)
{
	struct listing l = {.list = list, .off = off};

	return for_runs((struct qcow2 *)dev, off, len, list_run, &l, err);
}

static int qcow2_close(struct dev *dev, struct error *err)
{
	struct qcow2 *q = (struct qcow2 *)dev;
	int ret = dev_close(q->file, err);

	qcow2_packed_free(q->packed);
	qcow2_map_free(q->map);
	free(q->path);
	free(q);
	return ret;
}

static const struct dev_ops qcow2_ops = {
	.name = "qcow2",
	.pread = qcow2_pread,
	.extents = qcow2_extents,
	.close = qcow2_close,
};

static int open_parts(struct qcow2 *q, const char *path, struct error *err)
{
	q->path = buf_strf(err, "%s", path);
	if (!q->path || qcow2_header_read(&q->header, q->file, q->path, err) < 0)
		return -1;
	q->dev.size = q->header.size;
	q->map = qcow2_map_new(q->file, q->path, &q->header, err);
	if (!q->map)
		return -1;
	q->packed = qcow2_packed_new(q->file, q->path, &q->header, err);
	return q->packed ? 0 : -1;
}

int qcow2_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err)
{
	struct qcow2 *q = calloc(1, sizeof(*q));

	(void)opts;
	if (!q) {
		dev_close(file, NULL);
		return error_nomem(err, "a qcow2 image");
	}
	q->dev.ops = &qcow2_ops;
	q->file = file;
	if (open_parts(q, path, err) < 0) {
		qcow2_close(&q->dev, NULL);
		return -1;
	}
	out->dev = &q->dev;
	snprintf(out->variant, sizeof(out->variant), "version %u", q->header.version);
	return 0;
}
