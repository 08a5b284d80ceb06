/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From planned disks to a registered AMI, so that repeating it makes nothing new: snapshots are
 * found by the tag amiwright:content, whose value is the digest of what they hold, and the AMI by
 * its name and the same tag, whose value is then the digest of all that the AMI is.
 */
#ifndef AMIWRIGHT_BUILDER_PUBLISH_H
#define AMIWRIGHT_BUILDER_PUBLISH_H

#include "builder/build.h"
#include "uploader/snapshot.h"

#define PUBLISH_TAG "amiwright:content"

struct publish_disk {
	struct dev *dev;             /* owned */
	char content[SHA256_HEX_SIZE];
	char snapshot[EC2_ID_SIZE];
	bool reused;                 /* it was there already */
	struct snapshot_result sent; /* when not reused */
};

struct publish {
	struct build *build;         /* borrowed */
	struct context *ctx;         /* borrowed */
	struct publish_disk *disks;  /* owned; one for each of the spec's */
	struct ec2_mapping *mappings; /* owned */
	struct ec2_image_list same_name; /* images of that name, found before any work */
	struct aws_tag *tags;        /* owned array; the spec's and PUBLISH_TAG; texts borrowed */
	size_t nr_tags;
	char name[EC2_NAME_SIZE];
	char content[SHA256_HEX_SIZE]; /* of the AMI */
	char ami[EC2_ID_SIZE];
	bool existing;               /* the AMI was there already, nothing was made */
};

/*
 * Connects and looks for the AMI's name: what is wrong with credentials, region or network shows
 * here, before any work. The build has been read, not made.
 */
int publish_begin(struct publish *p, struct build *b, struct context *ctx, struct error *err)
	MUST_CHECK;
/*
 * Hashes, uploads what is not there, registers. ERROR_POLICY when the name is taken by other
 * content; then nothing was changed.
 */
int publish_run(struct publish *p, struct error *err) MUST_CHECK;
/* Before build_release(). */
void publish_release(struct publish *p);

#endif
