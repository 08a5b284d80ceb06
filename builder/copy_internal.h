/* SPDX-License-Identifier: Apache-2.0 */
/* Inside copy*.c: what differs between images and snapshots, as a table. */
#ifndef AMIWRIGHT_BUILDER_COPY_INTERNAL_H
#define AMIWRIGHT_BUILDER_COPY_INTERNAL_H

#include "builder/copy.h"

struct copy_ops {
	/* Looks for a copy that is there; sets d->id and d->existing. */
	int (*find)(struct copy *c, struct copy_dest *d, struct error *err);
	/* Begins it (or, in a dry run, asks whether it could be); sets d->id. */
	int (*begin)(struct copy *c, struct copy_dest *d, struct error *err);
	/* Sets d->state to COPY_DONE when it is whole, and d->percent; an error when it failed. */
	int (*poll)(struct copy *c, struct copy_dest *d, struct error *err);
};
extern const struct copy_ops copy_image_ops, copy_snapshot_ops;

/* Reads the source and judges every region: nothing is changed. */
int copy_prepare(struct copy *c, struct error *err) MUST_CHECK;

/*
 * The tags of a copy: what the user gave, the source's, COPY_TAG = origin. *out is the caller's to
 * free; its texts are borrowed from c, opts and `of`.
 */
int copy_make_tags(const struct copy *c, const struct ec2_tag_list *of, const char *origin,
	struct aws_tag **out, size_t *nr, struct error *err) MUST_CHECK;
/* Gives id those of tags whose keys are not in `has`. */
int copy_add_tags(struct aws *a, const char *id, const struct ec2_tag_list *has,
	const struct aws_tag *tags, size_t nr, struct error *err) MUST_CHECK;
/*
 * Whether a copy that is there is encrypted as is asked for now: kms_key is the ARN of its key, ""
 * when not known. ERROR_POLICY when it is not.
 */
int copy_check_encryption(const struct copy *c, const struct copy_dest *d, const char *id,
	bool encrypted, const char *kms_key, struct error *err) MUST_CHECK;

#endif
