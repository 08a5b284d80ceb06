/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects into a bucket while they are made: whoever makes them hands them over, a thread sends them, several
 * at a time, so that neither waits for the other until too many are on their way.
 *
 *   maker ──▶ s3_store_put() ──▶ [thread: SHA-256, begin(), head?, put, answer] ──▶ freed
 *
 * The client of the bucket's Region is the thread's own from s3_store_new() to s3_store_finish() or
 * s3_store_free(): nobody else may use it meanwhile.
 */
#ifndef AMIWRIGHT_UPLOADER_S3_STORE_H
#define AMIWRIGHT_UPLOADER_S3_STORE_H

#include "uploader/s3.h"

struct s3_store;

struct s3_store_opts {
	const char *acl, *type;    /* of every object; borrowed */
	unsigned depth;            /* objects that are held at a time; 0: 6 */
	/*
	 * Before an object is sent, in the thread; may be NULL. *maybe_there (false so far): it is looked at, and not
	 * sent when the bucket has it with this size and SHA-256 (or MD5 as its ETag). A failure stops all.
	 */
	int (*begin)(void *arg, const char *key, const uint8_t sha256[SHA256_SIZE], bool *maybe_there,
		struct error *err);
	void *arg;
};

struct s3_store_counts {
	uint64_t sent, there; /* objects that were sent, that were there already */
};

/* place is copied, its client borrowed. */
struct s3_store *s3_store_new(const struct s3_place *place, const struct s3_store_opts *opts,
	struct error *err) MUST_CHECK;
/*
 * Takes the content out of data, which is empty then; key is copied. Waits while `depth` are held. -1 with the
 * error of what failed in the thread.
 */
int s3_store_put(struct s3_store *s, const char *key, struct buf *data, struct error *err) MUST_CHECK;
/* Waits until all is there. The thread has ended afterwards in any case; free it still. */
int s3_store_finish(struct s3_store *s, struct s3_store_counts *counts, struct error *err) MUST_CHECK;
/* Drops what is under way. NULL is fine. */
void s3_store_free(struct s3_store *s);
DEFINE_CLEANUP(s3_store, struct s3_store, s3_store_free)

#endif
