/* SPDX-License-Identifier: Apache-2.0 */
/* See snapshot_verify.h for the rules. */
#include "uploader/snapshot_verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

struct verify {
	struct snapshot_side *snapshot, *image;
	const struct snapshot_verify_opts *opts;
	struct snapshot_verify_result *out;
	struct snapshot_window *has, *should; /* the snapshot's, the image's */
	uint64_t image_end;                   /* blocks */
	uint64_t to_read;                     /* bytes, for the progress */
};

/* Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014), its mix function. */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static bool is_sampled(const struct verify *v, uint64_t index)
{
	return mix(v->opts->seed ^ mix(index)) % SNAPSHOT_SAMPLE_ALL < v->opts->sample;
}

/* Whether nobody cares what the snapshot has there. */
static bool is_unused(const struct verify *v, size_t i)
{
	return v->should->kind[i] == EXTENT_UNUSED && !v->opts->by_digests &&
	       v->should->first + i < v->image_end;
}

static void choose(struct verify *v)
{
	uint64_t blocks = 0;

	for (size_t i = 0; i < v->has->nr; i++) {
		bool there = v->has->kind[i] == EXTENT_DATA, data = v->should->kind[i] == EXTENT_DATA;
		bool unused = is_unused(v, i), sampled = is_sampled(v, v->has->first + i);

		v->has->want[i] = there && !unused && sampled;
		v->should->want[i] = data && (!there || sampled);
		v->out->blocks += there;
		v->out->unused += there && unused;
		v->out->passed += there && !unused && !sampled;
		v->out->read += v->has->want[i];
		blocks += (uint64_t)v->has->want[i] + (v->should->want[i] && !v->opts->by_digests);
	}
	v->to_read += blocks * EBS_BLOCK_SIZE;
	if (v->opts->side.progress)
		progress_set_total(v->opts->side.progress, v->to_read);
}

/* True with *what when a block is not as it should be. */
static bool is_wrong(const struct verify *v, size_t i, enum snapshot_wrong *what)
{
	enum extent_kind should = v->should->kind[i];

	if (v->has->want[i]) {
		*what = should == EXTENT_UNUSED ? SNAPSHOT_EXTRA : SNAPSHOT_DIFFERS;
		return memcmp(v->has->digest[i], v->should->digest[i], SHA256_SIZE) != 0;
	}
	if (v->has->kind[i] == EXTENT_DATA)
		return false;
	*what = should == EXTENT_DATA ? SNAPSHOT_LACKS : SNAPSHOT_LACKS_ZERO;
	return should == EXTENT_DATA || (should == EXTENT_ZERO && v->opts->encrypted);
}

static int judge(struct verify *v, struct error *err)
{
	for (size_t i = 0; i < v->has->nr; i++) {
		enum snapshot_wrong what;

		if (!is_wrong(v, i, &what))
			continue;
		v->out->wrong++;
		if (v->opts->wrong && v->opts->wrong(v->opts->arg, v->has->first + i, what, err) < 0)
			return -1;
	}
	return 0;
}

static int go_through(struct verify *v, struct error *err)
{
	const struct snapshot_side_opts *opts = &v->opts->side;
	uint64_t total = v->snapshot->size / EBS_BLOCK_SIZE;

	for (uint64_t at = 0; at < total; at += SNAPSHOT_WINDOW) {
		size_t nr = (size_t)MIN((uint64_t)SNAPSHOT_WINDOW, total - at);

		if (snapshot_side_kinds(v->snapshot, v->has, at, nr, err) < 0 ||
		    snapshot_side_kinds(v->image, v->should, at, nr, err) < 0)
			return -1;
		choose(v);
		if (snapshot_side_digests(v->image, v->should, opts, err) < 0 ||
		    snapshot_side_digests(v->snapshot, v->has, opts, err) < 0 || judge(v, err) < 0)
			return -1;
	}
	return 0;
}

int snapshot_verify(struct snapshot_side *snapshot, struct snapshot_side *image,
	const struct snapshot_verify_opts *opts, struct snapshot_verify_result *out,
	struct error *err)
{
	CLEANUP_FREE struct snapshot_window *windows = calloc(2, sizeof(*windows));
	struct verify v = {.snapshot = snapshot, .image = image, .opts = opts, .out = out,
		.has = windows, .should = windows + 1,
		.image_end = num_div_up(image->size, EBS_BLOCK_SIZE)};

	memset(out, 0, sizeof(*out));
	if (!windows)
		return error_nomem(err, "digests");
	if (image->size > snapshot->size)
		return error_set(err, ERROR_INPUT, 0,
			"the volume has %" PRIu64 " GiB, which is less than the image's %" PRIu64
			" bytes",
			snapshot->size / GIB, image->size);
	return go_through(&v, err);
}
