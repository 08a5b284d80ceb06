/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics of a spec: every mistake of one run, each as "file:line:column: text". Text says what
 * is wrong, where, and what would be right.
 */
#ifndef AMIWRIGHT_BUILDER_DIAG_H
#define AMIWRIGHT_BUILDER_DIAG_H

#include "base/buf.h"

#include <stdbool.h>

/* A place in the spec; line and column count from 1; line 0: the file as a whole. */
struct diag_place {
	unsigned line, column;
};

struct diag_item {
	struct diag_place place;
	unsigned order; /* in which it was found, for mistakes at one place */
	char *text;     /* owned */
};

struct diag {
	char *file;              /* owned; how the spec is called in messages */
	struct diag_item *items; /* owned */
	size_t nr;
	unsigned count;          /* mistakes; more than DIAG_MAX are counted but not kept */
	bool nomem;              /* a mistake was found and could not be kept */
};

enum { DIAG_MAX = 100 };

/* A zeroed struct is an empty one, without file name. */
int diag_set_file(struct diag *d, const char *file, struct error *err) MUST_CHECK;
void diag_release(struct diag *d);
void diag_add(struct diag *d, struct diag_place place, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* A value that was not given has the place of what it would stand in. */
bool diag_same_place(struct diag_place a, struct diag_place b);
/* Appends all mistakes in the order of their places, a line each. */
int diag_text(struct diag *d, struct buf *out, struct error *err) MUST_CHECK;
/*
 * 0 when there is no mistake; else -1 with ERROR_USAGE and those mistakes that fit (diag_text() has
 * all).
 */
int diag_result(struct diag *d, struct error *err) MUST_CHECK;

#endif
