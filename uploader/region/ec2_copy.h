/* SPDX-License-Identifier: Apache-2.0 */
/* What CopySnapshot (ec2_copy.c) and CopyImage (ec2_copy_image.c) share. */
#ifndef AMIWRIGHT_UPLOADER_REGION_EC2_COPY_H
#define AMIWRIGHT_UPLOADER_REGION_EC2_COPY_H

#include "uploader/region/copy.h"
#include "uploader/region/ec2_internal.h"
#include "uploader/region/keys.h"

/* Parameters; texts are borrowed from the form. */
struct ec2_copy {
	const char *region, *description, *key;
	bool has_flag, flag; /* Encrypted */
	struct store *source;
	const char *fault;   /* what the copy will fail with */
};
/* True with an answer when one is wrong. duration: name of the parameter of minutes. */
bool ec2_get_copy(struct ec2_ctx *c, struct ec2_copy *copy, const char *duration);

struct ec2_copy_key {
	char arn[KEY_ARN_SIZE]; /* "" for an unencrypted copy */
	const char *fault;      /* NULL when the key can be used */
};
/* With the destination's store->lock held. True with an answer when the matrix refuses. */
bool ec2_choose_copy_key(struct ec2_ctx *c, const struct ec2_copy *copy,
	const struct copy_source *source, bool of_image, struct ec2_copy_key *out);
/* With the source's store->lock held: whether the account can decrypt it. */
bool ec2_source_key_usable(const struct store *source, const struct snapshot *snap,
	const char *account);

#endif
