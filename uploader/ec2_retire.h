/* SPDX-License-Identifier: Apache-2.0 */
/* The end of an AMI's life: deprecation, protection, deregistration, and who still uses it. */
#ifndef AMIWRIGHT_UPLOADER_EC2_RETIRE_H
#define AMIWRIGHT_UPLOADER_EC2_RETIRE_H

#include "uploader/ec2.h"

/* Its snapshots stay. */
int ec2_deregister_image(struct aws *a, const char *ami, bool dry_run, struct error *err) MUST_CHECK;
/* Code InvalidSnapshot.InUse while an AMI uses it. */
int ec2_remove_snapshot(struct aws *a, const char *snapshot, bool dry_run, struct error *err)
	MUST_CHECK;
/* at: seconds since 1970, taken to the minute by EC2; 0: no deprecation any more. */
int ec2_deprecate_image(struct aws *a, const char *ami, int64_t at, bool dry_run, struct error *err)
	MUST_CHECK;
/* cooldown: it holds for 24 hours after it is taken away. */
int ec2_protect_image(struct aws *a, const char *ami, bool on, bool cooldown, bool dry_run,
	struct error *err) MUST_CHECK;
/*
 * Counts this account's instances of the AMI that are not terminated; first gets one's id or "".
 */
int ec2_instances_of(struct aws *a, const char *ami, size_t *nr, char first[EC2_ID_SIZE],
	struct error *err) MUST_CHECK;

struct ec2_template {
	char id[EC2_ID_SIZE], name[EC2_NAME_SIZE]; /* "": none */
	uint64_t version;
	bool others; /* further templates do, too */
};
/*
 * A launch template of this account whose latest or default version names the AMI. Those that name it
 * by a parameter of Systems Manager (resolve:ssm:…) are not found.
 */
int ec2_template_of(struct aws *a, const char *ami, struct ec2_template *out, struct error *err)
	MUST_CHECK;

#endif
