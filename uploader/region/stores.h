/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stores of all Regions that a folder plays, by name: DIR/regions/NAME. Those that are there are
 * opened at the start, others when they are first asked for; a store then stays.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_STORES_H
#define AMIWRIGHT_UPLOADER_REGION_STORES_H

#include "uploader/region/store.h"

enum { STORES_MAX = 64 };

struct stores {
	pthread_mutex_t lock; /* guards items, nr */
	char *dir;            /* DIR/regions; owned */
	struct store *items[STORES_MAX];
	size_t nr;
	int (*random)(void *buf, size_t len);
};

/* Opens what is there. */
int stores_open(struct stores *s, const char *dir, int (*random)(void *buf, size_t len),
	struct error *err) MUST_CHECK;
void stores_close(struct stores *s);

/* Borrowed until stores_close(). name must be a known one (names.h). NULL on error. */
struct store *stores_get(struct stores *s, const char *name, struct error *err) MUST_CHECK;
/* The i-th that is open, or NULL: for what has to look at all of them. */
struct store *stores_at(struct stores *s, size_t i);

#endif
