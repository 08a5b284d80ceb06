/* SPDX-License-Identifier: Apache-2.0 */
/* The region as its own files see it: one struct, and one entry a file. */
#ifndef AMIWRIGHT_UPLOADER_REGION_REGION_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_REGION_INTERNAL_H

#include "uploader/region/auth.h"
#include "uploader/region/faults.h"
#include "uploader/region/message.h"
#include "uploader/region/region.h"
#include "uploader/region/stores.h"

struct server;

struct region {
	char *dir;                          /* owned */
	const char *name;                   /* the Region that is named to clients */
	struct accounts accounts;
	struct auth auth;
	uint8_t token_key[SHA256_SIZE];     /* of pages and blocks */
	uint8_t session_key[SHA256_SIZE];
	uint8_t request_salt[8];            /* first half of every request id */
	atomic_ullong requests;             /* second half */
	int64_t (*wall_s)(void);
	int (*random)(void *buf, size_t len);
	unsigned complete_delay_ms, copy_seconds;
	struct faults faults;
	struct quotas quotas;
	struct stores stores;
	pthread_mutex_t s3_lock;            /* guards the records of objects */
	struct server *server;              /* owned */
	int lock_fd;
	char *endpoint;                     /* owned */
};

/* What a signed request is about. */
struct scene {
	struct region *region;
	struct store *store;         /* of the Region that was signed for */
	const struct caller *caller; /* NULL when it is not signed: only STS takes that */
};

/* The service's clock: ours, and the skew that was asked for. Seconds since 1970. */
int64_t region_now(const struct region *r);
/* Milliseconds of a clock that only goes forward. */
uint64_t region_monotonic_ms(void);
/* What the head of a request has proved. */
struct pass {
	enum auth_service service;
	enum auth_body body;  /* what is left to be proved */
	struct caller caller; /* unless body is AUTH_BODY_NEEDED */
};

/*
 * api.c: how long a body may be that goes into a file, by its head: an object's, or a document's that
 * S3 takes by POST. 0: it is kept in memory.
 */
uint64_t region_spools(const struct request *head);
/* That a body is longer than max, as its service says it. */
void region_refuse_size(struct region *r, const struct request *head, uint64_t max,
	struct reply *reply);
/*
 * Looks at a request's head, of which the body is still to come. False with the refusal in reply:
 * then nobody needs to read the body.
 */
bool region_admit(struct region *r, const struct request *head, struct pass *pass,
	struct reply *reply);
/*
 * Checks what is left of the signature and hands the request to its service. Never fails: errors are
 * replies. True when it was signed by somebody we know.
 */
bool region_handle(struct region *r, const struct request *req, struct pass *pass,
	struct reply *reply);

/* ebs.c, ec2.c …: one signed request of their service. */
void ebs_api_handle(const struct scene *scene, const struct request *req, struct reply *reply);
void sts_api_handle(const struct scene *scene, const struct request *req, struct reply *reply);
/* Whether it is a request of STS's, by its version: signed or not. */
bool sts_is_request(const struct request *req);
void s3_api_handle(const struct scene *scene, const struct request *req, struct reply *reply);
void kms_api_handle(const struct scene *scene, const struct request *req, struct reply *reply);
void ec2_api_handle(const struct scene *scene, const struct request *req, struct reply *reply);

/* server.c. Sets r->endpoint, before the first request comes. */
struct server *server_start(struct region *r, const char *address, uint16_t port, unsigned threads,
	struct error *err) MUST_CHECK;
/* The one that it listens at. */
uint16_t server_port(const struct server *s);
/* Answers what has begun, closes all, frees. */
void server_stop(struct server *s);

#endif
