/* SPDX-License-Identifier: Apache-2.0 */
/* Inside publish*.c. */
#ifndef AMIWRIGHT_BUILDER_PUBLISH_INTERNAL_H
#define AMIWRIGHT_BUILDER_PUBLISH_INTERNAL_H

#include "builder/publish.h"

/* Tags of an upload: PUBLISH_TAG, PUBLISH_NAME_TAG, SNAPSHOT_TAG; and COPY_TAG on a copy. */
enum { PUBLISH_OWN_TAGS = 4 };

/* The spec's tags and ours, into p->tags; content is borrowed. */
int publish_make_tags(struct publish *p, const char *content, const char *upload, struct error *err)
	MUST_CHECK;

/*
 * The journal of one disk's upload, the caller's to free; NULL where none can be kept.
 */
int publish_upload_journal(const struct publish *p, size_t disk, char **path, struct error *err)
	MUST_CHECK;
/* The value of SNAPSHOT_TAG of all its uploads: by the AMI's name alone. */
int publish_upload_name(const struct publish *p, char out[41], struct error *err) MUST_CHECK;

/* How many blocks the disk's snapshot will hold; reads no content. */
int publish_count_blocks(const struct publish *p, size_t disk, uint64_t *blocks, struct error *err)
	MUST_CHECK;

/* Hashes one disk; then looks for a snapshot that holds it. */
int publish_hash(struct publish *p, size_t disk, struct error *err) MUST_CHECK;
int publish_find_snapshot(struct publish *p, size_t disk, struct error *err) MUST_CHECK;
int publish_upload(struct publish *p, size_t disk, struct error *err) MUST_CHECK;

/* Fills key and kms_key of every region and refuses what EC2's rules forbid. */
int publish_judge(struct publish *p, struct error *err) MUST_CHECK;

/* The service said no: nothing was made. Any other failure leaves that open. */
bool publish_is_refusal(const struct error *err);

/* What follows on the registration, region by region. */
int publish_copies(struct publish *p, struct error *err) MUST_CHECK;
int publish_shares(struct publish *p, struct error *err) MUST_CHECK;
int publish_retire(struct publish *p, struct error *err) MUST_CHECK;

#endif
