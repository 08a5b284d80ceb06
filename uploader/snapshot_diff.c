/* SPDX-License-Identifier: Apache-2.0 */
/* See snapshot_diff.h. Both ways end in add(): blocks that differ, in ascending order. */
#include "uploader/snapshot_diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/num.h"

struct diff {
	const struct snapshot_diff_opts *opts;
	struct snapshot_diff_result *out;
	uint64_t first, nr; /* the run that is open */
	uint64_t to_read;   /* bytes, for the progress */
};

static int flush(struct diff *d, struct error *err)
{
	uint64_t nr = d->nr;

	d->nr = 0;
	if (nr == 0)
		return 0;
	d->out->ranges++;
	return d->opts->range ? d->opts->range(d->opts->arg, d->first, nr, err) : 0;
}

static int add(struct diff *d, uint64_t index, struct error *err)
{
	if (d->nr > 0 && index != d->first + d->nr && flush(d, err) < 0)
		return -1;
	if (d->nr == 0)
		d->first = index;
	d->nr++;
	d->out->changed++;
	return 0;
}

static void expect(struct diff *d, uint64_t blocks)
{
	d->to_read += blocks * EBS_BLOCK_SIZE;
	if (d->opts->side.progress)
		progress_set_total(d->opts->side.progress, d->to_read);
}

/* Where at least one has data, both are needed; all else is zeros on both sides. */
static void choose(struct diff *d, struct snapshot_window *a, struct snapshot_window *b)
{
	uint64_t blocks = 0;

	for (size_t i = 0; i < a->nr; i++) {
		a->want[i] = b->want[i] = a->kind[i] == EXTENT_DATA || b->kind[i] == EXTENT_DATA;
		blocks += (uint64_t)(a->kind[i] == EXTENT_DATA) + (b->kind[i] == EXTENT_DATA);
		d->out->compared += a->want[i];
	}
	expect(d, blocks);
}

static int compare(struct diff *d, const struct snapshot_window *a, const struct snapshot_window *b,
	struct error *err)
{
	for (size_t i = 0; i < a->nr; i++) {
		if (a->want[i] && memcmp(a->digest[i], b->digest[i], SHA256_SIZE) != 0 &&
		    add(d, a->first + i, err) < 0)
			return -1;
	}
	return 0;
}

static int compare_all(struct diff *d, struct snapshot_side *a, struct snapshot_side *b,
	struct snapshot_window w[2], struct error *err)
{
	const struct snapshot_side_opts *opts = &d->opts->side;
	uint64_t total = num_div_up(MAX(a->size, b->size), EBS_BLOCK_SIZE);

	for (uint64_t at = 0; at < total; at += SNAPSHOT_WINDOW) {
		size_t nr = (size_t)MIN((uint64_t)SNAPSHOT_WINDOW, total - at);

		if (snapshot_side_kinds(a, &w[0], at, nr, err) < 0 ||
		    snapshot_side_kinds(b, &w[1], at, nr, err) < 0)
			return -1;
		choose(d, &w[0], &w[1]);
		if (snapshot_side_digests(a, &w[0], opts, err) < 0 ||
		    snapshot_side_digests(b, &w[1], opts, err) < 0 || compare(d, &w[0], &w[1], err) < 0)
			return -1;
	}
	return flush(d, err);
}

int snapshot_diff(struct snapshot_side *a, struct snapshot_side *b,
	const struct snapshot_diff_opts *opts, struct snapshot_diff_result *out, struct error *err)
{
	CLEANUP_FREE struct snapshot_window *windows = calloc(2, sizeof(*windows));
	struct diff d = {.opts = opts, .out = out};

	memset(out, 0, sizeof(*out));
	out->size[0] = a->size;
	out->size[1] = b->size;
	return windows ? compare_all(&d, a, b, windows, err) : error_nomem(err, "digests");
}

/* The content of one page's entries, for one of the two snapshots. */
struct entries {
	const struct ebs_block_list *list;
	uint8_t (*digest)[SHA256_SIZE]; /* of each entry; owned */
	struct ebs_block *blocks;       /* the entries that the snapshot has; owned */
};

static void entries_release(struct entries *e)
{
	free(e->digest);
	free(e->blocks);
}

static int take_entry(void *arg, uint64_t index, const void *data, const uint8_t digest[SHA256_SIZE],
	struct error *err)
{
	const struct entries *e = arg;

	(void)data;
	(void)err;
	memcpy(e->digest[ARRAY_LAST_UP_TO(e->list->items, e->list->nr, index, index)], digest, SHA256_SIZE);
	return 0;
}

static int read_entries(struct diff *d, struct aws *aws, const char *snapshot, struct entries *e,
	struct error *err)
{
	struct snapshot_read_opts read = {.max_inflight = d->opts->side.max_inflight,
		.cancelled = d->opts->side.cancelled, .progress = d->opts->side.progress};
	uint8_t zero[SHA256_SIZE];
	size_t nr = 0;

	e->digest = calloc(e->list->nr + 1, SHA256_SIZE);
	e->blocks = calloc(e->list->nr + 1, sizeof(*e->blocks));
	if (!e->digest || !e->blocks)
		return error_nomem(err, "a page of blocks");
	if (snapshot_zero_digest(zero, err) < 0)
		return -1;
	for (size_t i = 0; i < e->list->nr; i++) {
		memcpy(e->digest[i], zero, SHA256_SIZE);
		if (e->list->items[i].token[0])
			e->blocks[nr++] = e->list->items[i];
	}
	expect(d, nr);
	return snapshot_read_blocks(aws, snapshot, e->blocks, nr, &read, take_entry, e, err);
}

static int add_page(struct diff *d, const struct ebs_block_list *page, const struct entries *a,
	const struct entries *b, struct error *err)
{
	for (size_t i = 0; i < page->nr; i++) {
		if (a && memcmp(a->digest[i], b->digest[i], SHA256_SIZE) == 0)
			continue;
		if (add(d, page->items[i].index, err) < 0)
			return -1;
	}
	return 0;
}

static int page_by_content(struct diff *d, struct aws *aws, const char *const ids[2],
	const struct ebs_block_list *firsts, const struct ebs_block_list *seconds, struct error *err)
{
	struct entries e[2] = {{.list = firsts}, {.list = seconds}};
	int ret = -1;

	if (read_entries(d, aws, ids[0], &e[0], err) == 0 &&
	    read_entries(d, aws, ids[1], &e[1], err) == 0)
		ret = add_page(d, seconds, &e[0], &e[1], err);
	d->out->compared += seconds->nr;
	entries_release(&e[0]);
	entries_release(&e[1]);
	return ret;
}

static int go_through(struct diff *d, struct aws *aws, const char *const ids[2], bool by_content,
	struct error *err)
{
	CLEANUP(snapshot_pages_cleanup) struct snapshot_pages *p =
		snapshot_pages_open_changed(aws, ids[0], ids[1], 0, err);
	const struct ebs_block_list *page;
	int ret;

	if (!p)
		return -1;
	while ((ret = snapshot_pages_next(p, &page, err)) > 0) {
		d->out->size[1] = page->size_gib * GIB;
		ret = by_content ? page_by_content(d, aws, ids, snapshot_pages_first(p), page, err)
				 : add_page(d, page, NULL, NULL, err);
		if (ret < 0)
			return -1;
	}
	if (ret == 0)
		d->out->size[1] = page->size_gib * GIB;
	return ret < 0 ? -1 : flush(d, err);
}

static int find_size(struct aws *aws, const char *snapshot, uint64_t *size, struct error *err)
{
	CLEANUP(snapshot_pages_cleanup) struct snapshot_pages *p =
		snapshot_pages_open(aws, snapshot, 0, err);
	const struct ebs_block_list *page;

	if (!p || snapshot_pages_next(p, &page, err) < 0)
		return -1;
	*size = page->size_gib * GIB;
	return 0;
}

int snapshot_diff_listed(struct aws *aws, const char *first, const char *second, bool by_content,
	const struct snapshot_diff_opts *opts, struct snapshot_diff_result *out, struct error *err)
{
	const char *const ids[2] = {first, second};
	struct diff d = {.opts = opts, .out = out};
	struct error why = ERROR_INIT;

	memset(out, 0, sizeof(*out));
	if (go_through(&d, aws, ids, by_content, &why) == 0)
		return find_size(aws, first, &out->size[0], err);
	/* The reason stands in the text only. */
	if (strcmp(why.code, "ValidationException") == 0 && strstr(why.text, "(UNRELATED_SNAPSHOTS)"))
		return 1;
	if (err)
		*err = why;
	return -1;
}
