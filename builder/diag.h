/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics of a spec: every mistake of one run, each as "file:line:column: text". Text says what is wrong, where, and
 * what would be right.
 */
#ifndef AMIWRIGHT_BUILDER_DIAG_H
#define AMIWRIGHT_BUILDER_DIAG_H

#include "base/buf.h"

/* A place in the spec; line and column count from 1; line 0: the file as a whole. */
struct diag_place {
	unsigned line, column;
};

struct diag {
	const char *file;   /* borrowed */
	struct buf text;    /* one line a mistake, sorted by place when taken */
	unsigned count;     /* mistakes; more than 100 are counted but not kept */
	unsigned warnings;
};

void diag_init(struct diag *d, const char *file);
void diag_release(struct diag *d);
void diag_add(struct diag *d, struct diag_place place, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* -1 with all mistakes in err (ERROR_USAGE; the first ones when they do not fit) when there are any. */
int diag_result(const struct diag *d, struct error *err) MUST_CHECK;

#endif
