/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of a snapshot's blocks, page by page. Two pages are held: the one that the caller works
 * on, and the one that is on its way. A page token that the service no longer takes (they live for
 * 60 minutes, and a page may take longer to work off) is replaced by a new list that starts behind
 * the last index seen.
 */
#include "uploader/snapshot_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/paging.h"

enum {
	TOKEN_MS = 50 * 60 * 1000, /* an older page token is not tried any more */
	/* Empty pages beyond those of a volume that is empty; see check_page(). */
	MAX_EMPTY_PAGES = 100,
	MAX_GIB = 65536,
	WAIT_MS = 1000,
};

struct snapshot_pages {
	struct aws *aws;
	char *snapshot;                /* owned */
	char *first;                   /* what it is compared with; NULL: a plain list; owned */
	struct ebs_block_list page[2]; /* the caller's, and the next */
	struct ebs_block_list firsts[2]; /* with `first`: its tokens, for the entries of page[] */
	unsigned current;
	uint64_t start;                /* index behind the last one seen */
	char *token;                   /* of the page behind those; NULL: none or not known */
	uint64_t token_ms;             /* when it came */
	uint64_t size_gib;             /* 0 before the first answer */
	struct paging paging;
	struct aws_call call;
	bool requested, arrived, with_token, last;
};

static uint64_t now_ms(const struct snapshot_pages *p)
{
	const struct aws_clock *c = aws_clock(p->aws);

	return c->monotonic_ms(c->arg);
}

static void page_done(struct aws_call *call, void *arg)
{
	struct snapshot_pages *p = arg;

	(void)call;
	p->arrived = true;
}

/* The list begins anew behind what was seen. */
static void drop_token(struct snapshot_pages *p)
{
	free(p->token);
	p->token = NULL;
	paging_restart(&p->paging);
}

/* Asks for the page behind those that were seen. */
static int request(struct snapshot_pages *p, struct error *err)
{
	if (p->token && now_ms(p) - p->token_ms > TOKEN_MS)
		drop_token(p);
	if ((p->first ? ebs_changed_init(p->aws, &p->call, p->first, p->snapshot, p->start, p->token,
				err)
		      : ebs_list_init(p->aws, &p->call, p->snapshot, p->start, p->token, err)) < 0)
		return -1;
	p->with_token = p->token != NULL;
	p->call.done = page_done;
	p->call.arg = p;
	p->arrived = false;
	if (aws_start(p->aws, &p->call, err) < 0) {
		aws_call_release(&p->call);
		return -1;
	}
	p->requested = true;
	return 0;
}

static void drop_request(struct snapshot_pages *p)
{
	if (!p->requested)
		return;
	if (!p->arrived)
		aws_cancel(p->aws, &p->call);
	aws_call_release(&p->call);
	p->requested = false;
}

static int wait(struct snapshot_pages *p, struct error *err)
{
	while (!p->arrived) {
		if (aws_run(p->aws, WAIT_MS, -1, err) < 0)
			return -1;
	}
	return 0;
}

/* An expired page token is refused like any other wrong value: one new list tells which it was. */
static bool token_refused(const struct snapshot_pages *p)
{
	return !p->call.ok && p->with_token &&
	       strcmp(p->call.error.code, "ValidationException") == 0;
}

static int check_page(struct snapshot_pages *p, const struct ebs_block_list *l, struct error *err)
{
	uint64_t end = l->size_gib * (GIB / EBS_BLOCK_SIZE);

	if (l->size_gib == 0 || l->size_gib > MAX_GIB || l->block_size != EBS_BLOCK_SIZE ||
	    (p->size_gib && p->size_gib != l->size_gib))
		return error_set(err, ERROR_SERVICE, 0,
			"list of %s: volume of %" PRIu64 " GiB in blocks of %" PRIu32 " bytes",
			p->snapshot, l->size_gib, l->block_size);
	p->size_gib = l->size_gib;
	if (l->nr == 0)
		return 0;
	if (l->items[0].index < p->start)
		return error_set(err, ERROR_SERVICE, 0,
			"list of %s: block %" PRIu64 " comes a second time", p->snapshot,
			l->items[0].index);
	if (l->items[l->nr - 1].index >= end)
		return error_set(err, ERROR_SERVICE, 0,
			"list of %s: block %" PRIu64 " lies behind the volume's end",
			p->snapshot, l->items[l->nr - 1].index);
	p->start = l->items[l->nr - 1].index + 1;
	return 0;
}

/*
 * A service that looks through the volume's indices page by page, and not through the blocks that
 * are there, has an empty page for each stretch without blocks.
 */
static int check_progress(struct snapshot_pages *p, const struct ebs_block_list *l, struct error *err)
{
	char what[EBS_ID_SIZE + 16];

	if (!p->token)
		return 0;
	p->paging.max_empty = MAX_EMPTY_PAGES + p->size_gib * (GIB / EBS_BLOCK_SIZE) / EBS_MAX_PAGE;
	snprintf(what, sizeof(what), "list of %.64s", p->snapshot);
	return paging_next(&p->paging, l->nr == 0, p->token, what, err);
}

/* Takes the page that is on its way, asking for it a second time if need be. */
static int receive(struct snapshot_pages *p, struct error *err)
{
	struct ebs_block_list *into = &p->page[!p->current], *firsts = &p->firsts[!p->current];
	int ret;

	if ((!p->requested && request(p, err) < 0) || wait(p, err) < 0)
		return -1;
	if (token_refused(p)) {
		log_debug("%s; listing again from block %" PRIu64, p->call.error.text, p->start);
		drop_request(p);
		drop_token(p);
		if (request(p, err) < 0 || wait(p, err) < 0)
			return -1;
	}
	into->nr = firsts->nr = 0;
	if (p->call.ok) {
		ret = p->first ? ebs_changed_read(&p->call, &p->token, firsts, into, err)
			       : ebs_list_read(&p->call, &p->token, into, err);
		p->token_ms = now_ms(p);
		p->last = !p->token;
	} else {
		ret = -1;
		if (err)
			*err = p->call.error;
	}
	drop_request(p);
	return ret < 0 || check_page(p, into, err) < 0 ? -1 : check_progress(p, into, err);
}

static struct snapshot_pages *open_pages(struct aws *a, const char *first, const char *second,
	uint64_t start_index, struct error *err)
{
	struct snapshot_pages *p = calloc(1, sizeof(*p));

	if (!p)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a list of blocks");
	p->aws = a;
	p->start = start_index;
	p->snapshot = strdup(second);
	p->first = first ? strdup(first) : NULL;
	if (!p->snapshot || (first && !p->first))
		error_nomem(err, "a snapshot's id");
	else if (request(p, err) == 0)
		return p;
	snapshot_pages_close(p);
	return NULL;
}

struct snapshot_pages *snapshot_pages_open(struct aws *a, const char *snapshot, uint64_t start_index,
	struct error *err)
{
	return open_pages(a, NULL, snapshot, start_index, err);
}

struct snapshot_pages *snapshot_pages_open_changed(struct aws *a, const char *first,
	const char *second, uint64_t start_index, struct error *err)
{
	return open_pages(a, first, second, start_index, err);
}

const struct ebs_block_list *snapshot_pages_first(const struct snapshot_pages *p)
{
	return &p->firsts[p->current];
}

int snapshot_pages_next(struct snapshot_pages *p, const struct ebs_block_list **page,
	struct error *err)
{
	struct ebs_block_list *next = &p->page[!p->current];

	next->nr = 0;
	next->size_gib = p->size_gib;
	while (!p->last && next->nr == 0) {
		if (receive(p, err) < 0)
			return -1;
	}
	p->current = !p->current;
	*page = next;
	if (!p->last && request(p, err) < 0)
		return -1;
	return next->nr > 0;
}

void snapshot_pages_close(struct snapshot_pages *p)
{
	if (!p)
		return;
	drop_request(p);
	free(p->token);
	paging_release(&p->paging);
	free(p->snapshot);
	free(p->first);
	for (int i = 0; i < 2; i++) {
		ebs_block_list_release(&p->page[i]);
		ebs_block_list_release(&p->firsts[i]);
	}
	free(p);
}

static int append(struct ebs_block_list *list, const struct ebs_block_list *page, struct error *err)
{
	list->size_gib = page->size_gib;
	list->block_size = EBS_BLOCK_SIZE;
	if (page->nr == 0)
		return 0;
	if (ARRAY_GROW(list->items, list->nr + page->nr, list->alloc, "the list of blocks", err) < 0)
		return -1;
	memcpy(list->items + list->nr, page->items, page->nr * sizeof(*page->items));
	list->nr += page->nr;
	return 0;
}

int snapshot_list(struct aws *a, const char *snapshot, struct ebs_block_list *list,
	struct error *err)
{
	CLEANUP(snapshot_pages_cleanup) struct snapshot_pages *p =
		snapshot_pages_open(a, snapshot, 0, err);
	const struct ebs_block_list *page;
	int ret;

	memset(list, 0, sizeof(*list));
	if (!p)
		return -1;
	do {
		ret = snapshot_pages_next(p, &page, err);
		if (ret >= 0 && append(list, page, err) < 0)
			ret = -1;
	} while (ret > 0);
	return ret;
}
