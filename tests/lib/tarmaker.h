/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer of tar archives, for those that no archiver would write: damaged, hostile, with records
 * of any kind. Nothing is checked; out of memory aborts.
 */
#ifndef AMIWRIGHT_TESTS_LIB_TARMAKER_H
#define AMIWRIGHT_TESTS_LIB_TARMAKER_H

#include "base/buf.h"

/* One header; what is 0 gets a default. Devices are 5:7. */
struct tarmaker_entry {
	const char *name, *link;
	char type;
	unsigned mode;
	uint64_t uid, size;
	int64_t mtime;
	const char *content; /* size 0: its length */
};

void tarmaker_add(struct buf *b, struct tarmaker_entry e);
/* Bytes, padded to whole sectors. */
void tarmaker_put(struct buf *b, const void *data, size_t len);
/* A pax header with one record; the value may hold NUL. */
void tarmaker_pax(struct buf *b, const char *key, const void *value, size_t len);
/* The mark of the end. */
void tarmaker_end(struct buf *b);

#endif
