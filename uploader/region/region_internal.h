/* SPDX-License-Identifier: Apache-2.0 */
/* The region as its own files see it: one struct, and one entry a file. */
#ifndef AMIWRIGHT_UPLOADER_REGION_REGION_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_REGION_INTERNAL_H

#include "uploader/region/auth.h"
#include "uploader/region/message.h"
#include "uploader/region/region.h"
#include "uploader/region/store.h"

struct server;

enum { REGION_ACCOUNT_SIZE = 13, REGION_NAME_SIZE = 64 };

struct region {
	char *dir;                          /* owned */
	char name[REGION_NAME_SIZE];        /* "us-east-1" */
	char account[REGION_ACCOUNT_SIZE];  /* 12 digits */
	struct aws_creds creds;
	struct auth auth;
	uint8_t token_key[SHA256_SIZE];
	uint8_t request_salt[8];            /* first half of every request id */
	atomic_ullong requests;             /* second half */
	int64_t (*wall_s)(void);
	unsigned complete_delay_ms;
	struct store *store;                /* owned */
	struct server *server;              /* owned */
	int lock_fd;
	char *endpoint;                     /* owned */
};

/* Milliseconds of a clock that only goes forward. */
uint64_t region_monotonic_ms(void);
/* The key that snapshots of this account get when none is named; out has 128 bytes. */
void region_default_key(const struct region *r, char out[128]);

/*
 * api.c: checks the signature and hands the request to its service. Never fails: errors are
 * replies.
 */
void region_handle(struct region *r, const struct request *req, struct reply *reply);

/* ebs.c and ec2.c: one signed request of their service. */
void ebs_api_handle(struct region *r, const struct request *req, struct reply *reply);
void ec2_api_handle(struct region *r, const struct request *req, struct reply *reply);

/* server.c */
struct server *server_start(struct region *r, const char *address, uint16_t port, unsigned threads,
	struct error *err) MUST_CHECK;
uint16_t server_port(const struct server *s);
/* Answers what has begun, closes all, frees. */
void server_stop(struct server *s);

#endif
