/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a bucket under a bundle's name and is no part of it: those of the bundle that it replaces, and those
 * of an upload that was not finished.
 */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_OLD_H
#define AMIWRIGHT_BUILDER_BUNDLE_OLD_H

#include "uploader/bundle_index.h"
#include "uploader/s3.h"

/* The manifest that is there. Zeroed is fine. */
struct bundle_old {
	struct buf manifest;
	bool there;
	struct bundle_index index; /* no parts when the manifest is none */
};

int bundle_old_read(struct bundle_old *o, const struct s3_place *place, const char *manifest_key, struct error *err)
	MUST_CHECK;
void bundle_old_release(struct bundle_old *o);

/*
 * With the new manifest in its place: deletes what the old one names and the new one does not, and what is called
 * like a part (NAME.part.7) and named by neither. The bundle is whole whatever happens here: a warning tells of what
 * stays.
 */
void bundle_old_remove(const struct bundle_old *o, const struct s3_place *place, const char *manifest_key,
	const struct bundle_index *new);

/* Keys, each with its NUL. */
struct bundle_keys {
	struct buf text;
	size_t nr;
};
/* Adds those that go on behind start (".../NAME.part.") with digits alone. Release text. */
int bundle_keys_list(struct bundle_keys *k, const struct s3_place *place, const char *start, struct error *err)
	MUST_CHECK;
/* Each of them, in text; the array is the caller's to free. */
const char **bundle_keys_each(const struct bundle_keys *k, struct error *err) MUST_CHECK;

#endif
