/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2's calls that copy: CopyImage, CopySnapshot, and what the account's region says about
 * encryption. Both are asked of the region that the copy goes to. They begin a copy; how far it is
 * tell ec2_find_images() and ec2_describe_snapshot().
 */
#ifndef AMIWRIGHT_UPLOADER_EC2_COPY_H
#define AMIWRIGHT_UPLOADER_EC2_COPY_H

#include "uploader/ec2.h"

struct ec2_copy_opts {
	const char *source;        /* AMI or snapshot id */
	const char *source_region;
	const char *name;          /* the new AMI's; not for snapshots */
	const char *description;   /* NULL or "": none */
	const char *token;         /* client token of CopyImage; CopySnapshot has none */
	bool encrypt;
	const char *kms_key;       /* NULL, or with encrypt: id, alias or ARN */
	const struct aws_tag *tags; /* of the new AMI or snapshot, given with its making */
	size_t nr_tags;
	bool dry_run;              /* EC2 says whether it may be done; id is "" then */
};

/* id gets the new AMI's, which is pending. */
int ec2_copy_image(struct aws *to, const struct ec2_copy_opts *opts, char id[EC2_ID_SIZE],
	struct error *err) MUST_CHECK;
/*
 * from: the client of the source's region, which signs the URL by which the target fetches the
 * source. An attempt whose answer was lost is not repeated: look for the copy by its tags.
 */
int ec2_copy_snapshot(struct aws *to, struct aws *from, const struct ec2_copy_opts *opts,
	char id[EC2_ID_SIZE], struct error *err) MUST_CHECK;

/* Whether new volumes and copies in the client's region are encrypted without being asked. */
int ec2_encryption_by_default(struct aws *a, bool *on, struct error *err) MUST_CHECK;
/* The key that is taken when none is named: an ARN, id or alias. */
int ec2_default_key(struct aws *a, char key[EC2_KEY_SIZE], struct error *err) MUST_CHECK;

struct ec2_region_list {
	char (*names)[32]; /* owned; by name */
	size_t nr;
};
/* Regions that the account can use. free(list.names) afterwards. */
int ec2_regions(struct aws *a, struct ec2_region_list *out, struct error *err) MUST_CHECK;

#endif
