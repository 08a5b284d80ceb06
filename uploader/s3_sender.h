/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls with large bodies while the bodies are made: whoever makes them hands them over, a thread sends them,
 * several at a time, so that neither waits for the other until too many are on their way. What the calls are
 * is its user's matter (s3_store.c, s3_stream.c).
 *
 *   maker ──▶ s3_sender_put() ──▶ [thread: SHA-256, start(), answers] ──▶ freed
 *
 * The client is the thread's own from s3_sender_new() to s3_sender_finish() or s3_sender_free(): nobody else may
 * use it meanwhile.
 */
#ifndef AMIWRIGHT_UPLOADER_S3_SENDER_H
#define AMIWRIGHT_UPLOADER_S3_SENDER_H

#include "uploader/s3.h"

struct s3_sender;

/* One body on its way. */
struct s3_parcel {
	struct buf data;
	char *key;                   /* owned; NULL when it was put without */
	size_t number;               /* as it was put */
	uint8_t sha256[SHA256_SIZE]; /* of data */
	void *arg;                   /* of the options */
	struct aws_call call;        /* the present one */

	/* private */
	struct s3_sender *sender;
	bool under_way;
	struct s3_parcel *next;
};

struct s3_sender_opts {
	unsigned depth; /* parcels that are held at a time, those being sent counted */
	/*
	 * In the thread: prepares the first call for a parcel and s3_sender_call()s it, or says s3_sender_over(). A
	 * failure stops all.
	 */
	int (*start)(void *arg, struct s3_parcel *p, struct error *err);
	void *arg;
};

struct s3_sender *s3_sender_new(struct aws *aws, const struct s3_sender_opts *opts, struct error *err) MUST_CHECK;
/*
 * Takes the content out of data, which is empty then; key is copied, NULL is fine. Waits while `depth` are held. -1
 * with the error of what failed in the thread.
 */
int s3_sender_put(struct s3_sender *s, const char *key, size_t number, struct buf *data, struct error *err) MUST_CHECK;
/* Waits until all is there. The thread has ended afterwards in any case; free it still. */
int s3_sender_finish(struct s3_sender *s, struct error *err) MUST_CHECK;
/* Drops what is under way. NULL is fine. */
void s3_sender_free(struct s3_sender *s);

/* In the thread: sends p->call, which is released when that fails; done gets the parcel as arg. */
int s3_sender_call(struct s3_parcel *p, void (*done)(struct aws_call *call, void *parcel), struct error *err)
	MUST_CHECK;
/*
 * In the thread: nothing more is to be done for p, whose call was released; why: what went wrong, which stops
 * all, or NULL.
 */
void s3_sender_over(struct s3_parcel *p, const struct error *why);

#endif
