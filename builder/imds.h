/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instance metadata service, version 2, as answers to requests: no sockets, no clock. The
 * metadata is a list of paths with texts; folder listings are made from the same list, so that
 * what is listed can be read.
 *
 * Rules (Amazon EC2 User Guide, "Use the Instance Metadata Service to access instance metadata"):
 * PUT /latest/api/token with a time to live of 1 to 21600 seconds gives a token; without one that
 * still lives everything else is 401. A forwarded PUT is refused.
 */
#ifndef AMIWRIGHT_BUILDER_IMDS_H
#define AMIWRIGHT_BUILDER_IMDS_H

#include "base/buf.h"
#include "uploader/ebs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IMDS_SECRET_SIZE = 32, IMDS_TTL_MAX = 21600, IMDS_USER_DATA_MAX = 16384 };

/* An entry of the block device mapping: "ami" or "ebs1" and "/dev/xvda". */
struct imds_disk {
	char name[16];
	char device[64];
};

/* All texts are borrowed by imds_new() only. */
struct imds_opts {
	const char *ami_id, *instance_id, *instance_type;
	const char *region, *zone;  /* "us-east-1", "us-east-1a" */
	const char *architecture;   /* "x86_64", "arm64" */
	const char *hostname, *ipv4, *network, *mac; /* network: "169.254.0.0/16" */
	const char *public_key;     /* in OpenSSH's form, one line; NULL: none */
	const void *user_data;      /* NULL: none */
	size_t user_data_len;
	const struct aws_tag *tags;
	size_t nr_tags;
	const struct imds_disk *disks;
	size_t nr_disks;
	int64_t start_s;            /* seconds since 1970, for the identity document */
	uint8_t secret[IMDS_SECRET_SIZE]; /* random: what tokens are made with */
};

struct imds;

/* The answers of one instance; NULL on error. */
struct imds *imds_new(const struct imds_opts *opts, struct error *err) MUST_CHECK;
void imds_free(struct imds *m);
DEFINE_CLEANUP(imds, struct imds, imds_free)

/* What the rules of EC2 say of a tag key that is to be seen in metadata; ERROR_USAGE. */
int imds_check_tag(const char *key, struct error *err) MUST_CHECK;

struct imds_request {
	const char *method, *path; /* path with its leading slash; a query is cut off */
	const char *token, *ttl;   /* header values; NULL when not there */
	bool forwarded;            /* it has an X-Forwarded-For */
};

struct imds_reply {
	unsigned status;
	const char *type; /* borrowed for ever */
	int64_t ttl_s;    /* life that the token still has; -1: nothing to say */
	struct buf body;  /* made by BUF_INIT by the caller */
};

/* now_s: seconds of any clock that does not jump. -1 only when memory is out. */
int imds_answer(const struct imds *m, const struct imds_request *req, int64_t now_s,
	struct imds_reply *reply, struct error *err) MUST_CHECK;

#endif
