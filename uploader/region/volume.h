/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as the volume that is made of it: what an instance would read. Blocks that were never
 * written read as zeros on an unencrypted volume and as random bytes on an encrypted one, where the
 * cipher runs over what is not there. The .img of a snapshot has holes in both cases.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_VOLUME_H
#define AMIWRIGHT_UPLOADER_REGION_VOLUME_H

#include "base/error.h"

/*
 * Writes the volume of a completed snapshot of DIR/regions/REGION to path, which appears whole. The
 * random bytes are a function of snapshot and place, so that a failing start can be repeated. Takes
 * no lock: a server may run. An encrypted volume's file has no holes.
 */
int volume_export(const char *dir, const char *region, const char *snapshot_id, const char *path,
	struct error *err) MUST_CHECK;

#endif
