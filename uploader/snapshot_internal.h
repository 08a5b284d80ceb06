/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside snapshot*.c.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_INTERNAL_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_INTERNAL_H

#include "uploader/snapshot.h"

/* True when all len bytes (a multiple of 8) are zero. */
bool snapshot_is_zero(const void *data, size_t len);

/*
 * Sends the blocks of dev into a pending snapshot that was started at started_ms (monotonic). Fills
 * the counts and the aggregate of out.
 */
int snapshot_send(struct aws *a, struct dev *dev, const struct snapshot_upload_opts *opts,
	uint64_t started_ms, struct snapshot_result *out, struct error *err) MUST_CHECK;

#endif
