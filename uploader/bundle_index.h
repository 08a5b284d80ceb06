/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an instance-store bundle's manifest says of the objects in S3 that belong to it, and of the image: as
 * much as moving and registering it needs. Signature, keys and digests of the content are not looked at.
 * Source of the format: the manifests of the Amazon EC2 AMI tools, version 2007-10-10.
 */
#ifndef AMIWRIGHT_UPLOADER_BUNDLE_INDEX_H
#define AMIWRIGHT_UPLOADER_BUNDLE_INDEX_H

#include "base/hash.h"

enum { BUNDLE_INDEX_MAX = 4 * 1024 * 1024 /* bytes of a manifest */ };

/* The largest root of an instance that is kept in S3: 10 GiB. */
#define BUNDLE_ROOT_MAX (UINT64_C(10) << 30)

#define BUNDLE_SUFFIX ".manifest.xml"

struct bundle_index_part {
	char *file;                 /* a plain name, beside the manifest; owned */
	uint8_t sha1[SHA1_SIZE];
};

struct bundle_index {
	char architecture[16], user[16], root_device[64]; /* user: 12 digits; root_device "" when not said */
	uint64_t size, bundled_size; /* of the image, of all parts; bytes */
	struct bundle_index_part *parts; /* owned */
	size_t nr_parts;
};

/* what: the manifest's name for messages. ERROR_INPUT. Release in any case. */
int bundle_index_read(struct bundle_index *b, const char *text, size_t len, const char *what,
	struct error *err) MUST_CHECK;
void bundle_index_release(struct bundle_index *b);

/* The key of what lies beside the manifest with that key; the caller's to free. */
char *bundle_index_beside(const char *manifest_key, const char *file, struct error *err) MUST_CHECK;

#endif
