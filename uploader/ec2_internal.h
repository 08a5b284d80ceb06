/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside ec2*.c: building of a query body and one round of a call.
 */
#ifndef AMIWRIGHT_UPLOADER_EC2_INTERNAL_H
#define AMIWRIGHT_UPLOADER_EC2_INTERNAL_H

#include "base/xmldoc.h"
#include "uploader/ec2.h"

/* Begins a body: "Action=…&Version=…". */
int ec2_query_begin(struct buf *q, const char *action, struct error *err) MUST_CHECK;
/*
 * Adds "&NAME=value"; the name is made from fmt and is not encoded, the value is. NULL adds
 * nothing.
 */
int ec2_query_add(struct buf *q, struct error *err, const char *value, const char *fmt, ...)
	PRINTF_LIKE(4, 5) MUST_CHECK;
int ec2_query_number(struct buf *q, struct error *err, uint64_t value, const char *fmt, ...)
	PRINTF_LIKE(4, 5) MUST_CHECK;
/* "TagSpecification.1.…" for one resource type; nothing when nr is 0. */
int ec2_query_tag_spec(struct buf *q, const char *type, const struct aws_tag *tags, size_t nr,
	struct error *err) MUST_CHECK;

struct ec2_request {
	const char *action;
	const char *subject;  /* for messages */
	bool fresh_snapshot;  /* our own new id may be unknown yet */
	bool once;            /* see struct aws_call */
};

/* Sends it and gives the answer's document, whose root is checked to be ACTIONResponse. */
struct xmldoc *ec2_perform(struct aws *a, const struct ec2_request *req, const struct buf *query,
	struct error *err) MUST_CHECK;

/*
 * Sends a call that changes something. With dry_run "DryRun=true" goes with it, and EC2's word that it
 * would have succeeded is success; *doc is NULL then. doc may be NULL when the answer says nothing.
 */
int ec2_change(struct aws *a, const struct ec2_request *req, struct buf *query, bool dry_run,
	struct xmldoc **doc, struct error *err) MUST_CHECK;

/* The tagSet of an item. *out is set in any case. */
int ec2_read_tags(const struct xmldoc_node *item, struct ec2_tag_list *out, struct error *err)
	MUST_CHECK;

/*
 * Sends a describing call page after page: query is the body without NextToken, page() is called
 * with the root of each answer.
 */
int ec2_pages(struct aws *a, const struct ec2_request *req, const struct buf *query,
	int (*page)(void *arg, const struct xmldoc_node *root, struct error *err), void *arg,
	struct error *err) MUST_CHECK;

#endif
