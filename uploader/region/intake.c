/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies on their way in. A buffer has room for the largest body that is kept in memory, so that it
 * never grows; what is kept for later is as much as some dozens of clients have under way at once.
 */
#include "uploader/region/intake.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"

enum { IDLE_BODIES = 64 };

struct body {
	struct body *next;
	struct sha256 *hash;
	size_t len;
	uint8_t data[MESSAGE_BODY_MAX];
};

void bodies_init(struct bodies *all)
{
	*all = (struct bodies){.idle = NULL};
	pthread_mutex_init(&all->lock, NULL);
}

static void body_free(struct body *body)
{
	sha256_free(body->hash);
	free(body);
}

void bodies_release(struct bodies *all)
{
	while (all->idle) {
		struct body *body = all->idle;

		all->idle = body->next;
		body_free(body);
	}
	pthread_mutex_destroy(&all->lock);
}

static struct body *body_new(void)
{
	struct body *body = malloc(sizeof(*body));

	if (!body)
		return NULL;
	body->hash = sha256_new(NULL);
	if (body->hash)
		return body;
	free(body);
	return NULL;
}

static struct body *body_take(struct bodies *all)
{
	struct body *body;

	pthread_mutex_lock(&all->lock);
	body = all->idle;
	if (body) {
		all->idle = body->next;
		all->nr_idle--;
	}
	pthread_mutex_unlock(&all->lock);
	if (!body)
		body = body_new();
	if (body)
		body->len = 0;
	return body;
}

static void body_give_back(struct bodies *all, struct body *body)
{
	uint8_t unused[SHA256_SIZE];
	bool keep = sha256_final(body->hash, unused, NULL) == 0; /* a request may end early */

	pthread_mutex_lock(&all->lock);
	if (keep && all->nr_idle < IDLE_BODIES) {
		body->next = all->idle;
		all->idle = body;
		all->nr_idle++;
		body = NULL;
	}
	pthread_mutex_unlock(&all->lock);
	if (body)
		body_free(body);
}

void intake_init(struct intake *in, struct bodies *bodies)
{
	*in = (struct intake){.bodies = bodies, .spool = -1, .max = MESSAGE_BODY_MAX};
}

void intake_release(struct intake *in)
{
	if (in->body)
		body_give_back(in->bodies, in->body);
	cleanup_close_p(&in->spool);
	intake_init(in, in->bodies);
}

void intake_spool(struct intake *in, const char *dir, uint64_t max)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/upload-XXXXXX", dir);

	in->max = max;
	in->spool = path ? mkostemp(path, O_CLOEXEC) : -1;
	if (in->spool < 0)
		in->failed = true;
	else
		(void)unlink(path);
}

/* Into the file; true when it does not fit. */
static bool spool_add(struct intake *in, const void *data, size_t len)
{
	if (len > in->max - in->spooled)
		return true; /* one that did not say its length */
	if (file_pwrite_all(in->spool, data, len, in->spooled, "upload", NULL) < 0)
		in->failed = true;
	in->spooled += len;
	return false;
}

static bool body_add(struct body *body, const void *data, size_t len)
{
	if (len > MESSAGE_BODY_MAX - body->len)
		return true;
	memcpy(body->data + body->len, data, len);
	body->len += len;
	return false;
}

void intake_add(struct intake *in, const void *data, size_t len)
{
	if (in->failed || in->too_large)
		return;
	if (!in->body)
		in->body = body_take(in->bodies);
	if (!in->body) {
		in->failed = true;
		return;
	}
	in->too_large = in->spool >= 0 ? spool_add(in, data, len) : body_add(in->body, data, len);
	if (!in->too_large && sha256_update(in->body->hash, data, len, NULL) < 0)
		in->failed = true;
}

bool intake_finish(struct intake *in, struct request *req)
{
	req->spooled = in->spool >= 0;
	req->body_fd = in->spool;
	req->body_fd_len = in->spooled;
	if (in->failed || in->too_large)
		return true;
	if (!in->body)
		return sha256("", 0, req->body_sha256, NULL) < 0;
	if (in->spool < 0) {
		req->body = in->body->data;
		req->body_len = in->body->len;
	}
	return sha256_final(in->body->hash, req->body_sha256, NULL) < 0;
}
