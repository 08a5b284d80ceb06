/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who else may use an AMI (launchPermission) and read a snapshot (createVolumePermission), and the
 * account's switches against public ones.
 */
#ifndef AMIWRIGHT_UPLOADER_EC2_SHARE_H
#define AMIWRIGHT_UPLOADER_EC2_SHARE_H

#include "uploader/ec2.h"

/* Snapshots know accounts and the group "all" only. */
enum ec2_grantee { EC2_ACCOUNT, EC2_GROUP, EC2_ORGANIZATION, EC2_UNIT };

struct ec2_permission {
	enum ec2_grantee kind;
	char value[160]; /* account id, "all", ARN */
};
struct ec2_permission_list {
	struct ec2_permission *items; /* owned */
	size_t nr;
};

/* Own images and snapshots only. free(out->items) afterwards. */
int ec2_image_permissions(struct aws *a, const char *ami, struct ec2_permission_list *out,
	struct error *err) MUST_CHECK;
int ec2_snapshot_permissions(struct aws *a, const char *snapshot, struct ec2_permission_list *out,
	struct error *err) MUST_CHECK;

struct ec2_permission_change {
	const char *id;     /* of an AMI or snapshot */
	bool remove;        /* else they are added */
	const struct ec2_permission *items;
	size_t nr;
	bool dry_run;
};
/*
 * In as many calls as EC2's limits on one ask for. What is there already, or is not, is no error.
 * *done (may be NULL) counts the items that were changed, also when a later call fails.
 */
int ec2_change_permissions(struct aws *a, const struct ec2_permission_change *change, size_t *done,
	struct error *err) MUST_CHECK;

enum { EC2_BLOCK_SIZE = 40 };
/* "unblocked", "block-new-sharing" or "block-all-sharing". */
int ec2_image_public_block(struct aws *a, char state[EC2_BLOCK_SIZE], struct error *err) MUST_CHECK;
int ec2_snapshot_public_block(struct aws *a, char state[EC2_BLOCK_SIZE], struct error *err)
	MUST_CHECK;

#endif
