/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request and its reply as the handlers see them: no socket, no HTTP library. server.c fills the
 * one and sends the other; tests call handlers with requests made by hand.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_MESSAGE_H
#define AMIWRIGHT_UPLOADER_REGION_MESSAGE_H

#include "base/buf.h"
#include "base/hash.h"
#include "uploader/sigv4.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	MESSAGE_BODY_MAX = 1024 * 1024, /* bytes of any request's body */
	MESSAGE_MAX_HEADERS = 64,
	MESSAGE_REPLY_MAX = 16 * 1024 * 1024,
	REPLY_MAX_HEADERS = 24,
};

struct request {
	const char *method;
	char *path;  /* raw, as on the request line, without the query; owned by the maker */
	char *query; /* raw, without '?'; "" without one */
	struct sigv4_header headers[MESSAGE_MAX_HEADERS];
	size_t nr_headers;
	const void *body;
	size_t body_len;
	uint8_t body_sha256[SHA256_SIZE];
	bool spooled;         /* the body went to a file instead: */
	int body_fd;          /* borrowed */
	uint64_t body_fd_len;
};

/* A header by name (any case): the first of that name, or NULL. */
const char *request_header(const struct request *req, const char *name);

struct reply_header {
	char name[40], value[256];
};

/*
 * Writers never fail visibly: `failed` sticks, and server.c then sends 500. So handlers read as a
 * straight line. When fd >= 0 the body is len bytes of that file from off, and the reply owns the
 * descriptor.
 */
struct reply {
	char request_id[UUID_TEXT_SIZE]; /* goes into the header, and into the XML of EC2 */
	unsigned status;
	const char *content_type;
	char content_type_text[128]; /* for one that is not a constant */
	struct reply_header headers[REPLY_MAX_HEADERS];
	size_t nr_headers;
	struct buf body;
	int fd;
	uint64_t fd_off;
	size_t fd_len;
	bool failed;
	bool dropped, truncated; /* faults: no answer at all, or half of its body */
};

/*
 * A 200 without a body, of JSON. What these cannot do (no memory; reply_addf(): more than 511 bytes) sets
 * `failed`.
 */
void reply_init(struct reply *reply);
void reply_release(struct reply *reply);
void reply_header(struct reply *reply, const char *name, const char *value);
void reply_addf(struct reply *reply, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends text as a JSON string with its quotes; NULL gives null. */
void reply_json_str(struct reply *reply, const char *text);

/* A JSON error of the EBS kind, instead of what was written so far. reason NULL: front-end form. */
void reply_ebs_error(struct reply *reply, unsigned status, const char *code, const char *reason,
	const char *fmt, ...) PRINTF_LIKE(5, 6);
/* The same of the JSON 1.1 services: KMS. */
void reply_json_error(struct reply *reply, unsigned status, const char *code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The same as XML of EC2. */
void reply_ec2_error(struct reply *reply, unsigned status, const char *code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The same as XML of STS. */
void reply_sts_error(struct reply *reply, unsigned status, const char *code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The same as XML of S3; region may be NULL. */
void reply_s3_error(struct reply *reply, unsigned status, const char *code, const char *text,
	const char *region);

#endif
