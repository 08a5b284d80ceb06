/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the EBS files share: ebs.c (routes, complete), ebs_start.c, ebs_blocks.c (put, get),
 * ebs_list.c.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_EBS_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_EBS_INTERNAL_H

#include "uploader/region/region_internal.h"

/* One call after routing. */
struct ebs_ctx {
	struct region *region;
	struct store *store;      /* of the Region that was signed for */
	const char *account;      /* who asks */
	const struct request *req;
	struct reply *reply;
	char id[STORE_ID_SIZE]; /* snapshot of the path, "" without one */
	const char *index;        /* block index of the path as text, or NULL */
};

/* Refusals that many calls share. Each writes the reply. */
void ebs_invalid(struct ebs_ctx *c, const char *reason, const char *fmt, ...) PRINTF_LIKE(3, 4);
void ebs_not_found(struct ebs_ctx *c, const char *id);
/* Our own trouble (a full disk): 500 with err's text. */
void ebs_internal(struct ebs_ctx *c, const struct error *err);

/* The caller's snapshot, settled, with a reference; NULL with a reply when there is none. */
struct snapshot *ebs_find(struct ebs_ctx *c, const char *id);
/* One that may be read: own or shared, completed, map loaded. NULL with a reply otherwise. */
struct snapshot *ebs_find_readable(struct ebs_ctx *c, const char *id);

/* One call each: writes the reply, also when it refuses. */
void ebs_start(struct ebs_ctx *c);
void ebs_put_block(struct ebs_ctx *c);
void ebs_get_block(struct ebs_ctx *c);
void ebs_list_snapshot(struct ebs_ctx *c);
void ebs_list_changed(struct ebs_ctx *c);

/* What a block token is for; out has EBS_SUBJECT_SIZE bytes. */
enum { EBS_SUBJECT_SIZE = 80 };
void ebs_block_subject(const char *id, char out[EBS_SUBJECT_SIZE]);

/* Seconds since 1970 as the service writes times: "1.790337542E9". Returns out. */
enum { EBS_NUMBER_SIZE = 32 };
const char *ebs_number(int64_t seconds, char out[EBS_NUMBER_SIZE]);
/* "snap-" and hex digits. */
bool ebs_snapshot_id_ok(const char *id);

#endif
