/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mistakes are kept as items and put into the order of the file when they are shown: checks run in
 * the order that suits the code, the reader goes from top to bottom.
 */
#include "builder/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int diag_set_file(struct diag *d, const char *file, struct error *err)
{
	free(d->file);
	d->file = strdup(file);
	return d->file ? 0 : error_nomem(err, "a file name");
}

void diag_release(struct diag *d)
{
	for (size_t i = 0; i < d->nr; i++)
		free(d->items[i].text);
	free(d->items);
	free(d->file);
	memset(d, 0, sizeof(*d));
}

/* Keeps text (takes it). */
static void keep(struct diag *d, struct diag_place place, char *text)
{
	struct diag_item *grown = reallocarray(d->items, d->nr + 1, sizeof(*grown));

	if (!grown) {
		free(text);
		d->nomem = true;
		return;
	}
	d->items = grown;
	d->items[d->nr++] = (struct diag_item){place, d->count, text};
}

void diag_add(struct diag *d, struct diag_place place, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	d->count++;
	if (d->count > DIAG_MAX)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		d->nomem = true;
		return;
	}
	/* A mistake is one line, whatever the spec's values hold. */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	keep(d, place, text);
}

bool diag_same_place(struct diag_place a, struct diag_place b)
{
	return a.line == b.line && a.column == b.column;
}

static int by_place(const void *pa, const void *pb)
{
	const struct diag_item *a = pa, *b = pb;

	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	if (a->place.column != b->place.column)
		return a->place.column < b->place.column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int add_item(const struct diag *d, const struct diag_item *item, struct buf *out,
	struct error *err)
{
	const char *file = d->file ? d->file : "spec";

	if (!item->place.line)
		return buf_addf(out, err, "%s: %s\n", file, item->text);
	return buf_addf(out, err, "%s:%u:%u: %s\n", file, item->place.line, item->place.column,
		item->text);
}

int diag_text(struct diag *d, struct buf *out, struct error *err)
{
	if (d->nr)
		qsort(d->items, d->nr, sizeof(*d->items), by_place);
	for (size_t i = 0; i < d->nr; i++)
		if (add_item(d, &d->items[i], out, err) < 0)
			return -1;
	if (d->count > DIAG_MAX)
		return buf_addf(out, err, "%s: and %u more mistakes\n", d->file ? d->file : "spec",
			d->count - DIAG_MAX);
	return 0;
}

int diag_result(struct diag *d, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);

	if (!d->count)
		return 0;
	if (d->nomem)
		return error_nomem(err, "the list of mistakes");
	if (diag_text(d, &text, err) < 0)
		return -1;
	if (text.len)
		buf_truncate(&text, text.len - 1);
	return error_set(err, ERROR_USAGE, 0, "%s", buf_str(&text));
}
