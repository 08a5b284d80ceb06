/* SPDX-License-Identifier: Apache-2.0 */
/* The presigned URL of CopySnapshot: the caller's leave to read the source in its Region. */
#ifndef AMIWRIGHT_UPLOADER_REGION_PRESIGNED_H
#define AMIWRIGHT_UPLOADER_REGION_PRESIGNED_H

#include "uploader/region/region_internal.h"

enum presigned_result {
	PRESIGNED_OK,
	PRESIGNED_OTHER, /* for another call, snapshot or Region: refused at once */
	PRESIGNED_BAD,   /* a bad signature: the copy fails later */
};

/* Whether url is CopySnapshot of that source to that destination, signed by that account. */
enum presigned_result presigned_check(struct region *r, const char *url, const char *account,
	const char *source_region, const char *snapshot_id, const char *destination);

#endif
