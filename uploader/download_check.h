/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an earlier download left: its journal against the content. Inside snapshot_*.c.
 */
#ifndef AMIWRIGHT_UPLOADER_DOWNLOAD_CHECK_H
#define AMIWRIGHT_UPLOADER_DOWNLOAD_CHECK_H

#include "base/progress.h"
#include "uploader/download_journal.h"
#include "uploader/download_target.h"

/*
 * Reads and hashes all blocks that the journal has; records that do not hold are taken out of it,
 * or, when `strict`, are ERROR_POLICY and stay. workers: threads. kept, dropped: number of blocks.
 */
int download_check(const struct download_target *t, struct download_journal *j, bool strict,
	unsigned workers, bool (*cancelled)(void), const struct progress_opts *progress,
	uint64_t *kept, uint64_t *dropped, struct error *err) MUST_CHECK;

#endif
