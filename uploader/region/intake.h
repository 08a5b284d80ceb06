/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's body on its way in: into a buffer that is used again for the next one, or, for an
 * upload to S3, into a file without a name. Hashed while it is still in the cache; the handler then
 * finds the digest done.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_INTAKE_H
#define AMIWRIGHT_UPLOADER_REGION_INTAKE_H

#include "base/error.h"
#include "uploader/region/message.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body;

/* Buffers that wait to be used again. Thread-safe. */
struct bodies {
	pthread_mutex_t lock; /* guards idle, nr_idle */
	struct body *idle;
	size_t nr_idle;
};

/* None yet. */
void bodies_init(struct bodies *all);
void bodies_release(struct bodies *all);

struct intake {
	struct bodies *bodies; /* borrowed */
	struct body *body;     /* NULL until bytes come */
	int spool;             /* -1: none */
	uint64_t spooled, max; /* bytes: so far, and that there may be */
	bool too_large, failed;
};

/* Of one request; bodies is borrowed. */
void intake_init(struct intake *in, struct bodies *bodies);
void intake_release(struct intake *in);

/* The body, of max bytes at most, goes into a file of that folder instead. Trouble shows as failed. */
void intake_spool(struct intake *in, const char *dir, uint64_t max);
/* One piece of it. Trouble shows as failed or too_large; then nothing more is kept. */
void intake_add(struct intake *in, const void *data, size_t len);
/* Body and digest of the request, borrowed until the release. True when there was trouble. */
bool intake_finish(struct intake *in, struct request *req);

#endif
