/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing of an AMI and its snapshots, and the end of it. All that EC2 and KMS would refuse is found
 * before anything is changed; a repeat changes only what is not yet so.
 */
#ifndef AMIWRIGHT_BUILDER_SHARE_H
#define AMIWRIGHT_BUILDER_SHARE_H

#include "base/json.h"
#include "uploader/ec2_share.h"

struct share_opts {
	const char *ami;                   /* own, in the client's region */
	const struct ec2_permission *with;
	size_t nr;
	bool remove;                       /* take it back */
	bool all;                          /* with remove: from all that have it */
	bool image_only;                   /* leave the snapshots as they are */
	bool dry_run;                      /* EC2 says whether it may be done */
};

struct share_item { /* the AMI, or one of its snapshots */
	char id[EC2_ID_SIZE];
	struct ec2_permission_list now; /* at the end; in a dry run as it is */
	size_t changed;                 /* grantees added or removed; in a dry run those that would be */
};

struct share {
	struct share_item *items; /* owned; the AMI first */
	size_t nr;
};

/*
 * ERROR_POLICY when a rule stands against it, then nothing was changed. What a failure in the middle
 * left changed is in its text. Release in any case.
 */
int share_run(struct share *s, struct aws *aws, const struct share_opts *opts, struct error *err)
	MUST_CHECK;
void share_release(struct share *s);

/* "account 111122223333", "public", "organization arn:…", "organizational unit arn:…" */
const char *share_kind_name(enum ec2_grantee kind);
/* {"public": false, "accounts": […], "organizations": […], "organizational_units": […]} */
struct json *share_permissions_json(const struct ec2_permission_list *list, struct error *err)
	MUST_CHECK;

/*
 * A grantee from a command line or a spec; ERROR_USAGE says what would be right. A group is "all".
 */
int share_parse(enum ec2_grantee kind, const char *text, struct ec2_permission *out,
	struct error *err) MUST_CHECK;
/* Adds one to a list that has room for it, unless it is there already. */
int share_add(enum ec2_grantee kind, const char *text, struct ec2_permission *with, size_t *nr,
	struct error *err) MUST_CHECK;

#endif
