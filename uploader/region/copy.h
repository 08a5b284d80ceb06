/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of completed snapshots, within a Region and between two. The content is there at once – it
 * is sealed, so a hard link does – but the copy stays pending as long as the server was told that
 * copies take. With the store->lock of the destination held, unless said otherwise.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_COPY_H
#define AMIWRIGHT_UPLOADER_REGION_COPY_H

#include "uploader/region/store.h"

#define COPY_BAD_KEY "Given key ID is not accessible"

/* What a copy is made from, out of its record, so that its store's lock can be let go. */
struct copy_source {
	struct snapshot *snap; /* with a reference of ours */
	bool encrypted, own;
	char key[256];         /* ARN; "" without */
	char owner[ACCOUNT_SIZE];
	int64_t blocks;
};

/* With the store->lock of the source held. The snapshot must be completed. */
void copy_source_init(struct copy_source *source, struct snapshot *snap, const char *account);
void copy_source_release(struct copy_source *source);

/* A copy to be made. */
struct copy_plan {
	const struct copy_source *source;
	const char *owner, *description; /* description may be NULL */
	const char *key;                 /* ARN, or NULL: unencrypted */
	const char *fault;               /* what it will fail with in the end; NULL: it will not */
	struct json *tags;               /* taken, also on failure; NULL without */
	int64_t now, seconds;
	bool of_image;                   /* does not count among the copies of snapshots */
};
/* The new snapshot, pending; NULL on error. */
struct snapshot *copy_add(struct store *s, const char *id, struct copy_plan *plan, struct error *err)
	MUST_CHECK;

/* How many copies of snapshots (not for images) of that account are pending. */
size_t copy_count_pending(const struct store *s, const char *account);
/* Percent done at that time; 100 is only for completed ones. */
int copy_progress(const struct snapshot *snap, int64_t now);

/* Images whose snapshots are copied become available, or failed, when those are. */
int copy_settle_images(struct store *s, int64_t now, uint64_t now_ms, struct error *err) MUST_CHECK;

#endif
