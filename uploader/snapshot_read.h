/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading snapshots back: which blocks there are, page by page, and their content, many requests at
 * a time. A list is never held whole by these functions (134 million entries are possible): pages
 * are the primitive. Every block's SHA-256 is checked against what the service says before anybody
 * sees it.
 *
 * Page tokens live for 60 minutes and block tokens for 7 days. One that was refused is replaced by
 * listing again from its index, so no transfer is too slow to end.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_READ_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_READ_H

#include "base/cleanup.h"
#include "base/progress.h"
#include "uploader/ebs.h"

/*
 * The blocks of a snapshot in ascending order, from start_index on, a page at a time; the next page
 * is on its way while the caller works on this one (so the caller must keep the client's loop
 * running or accept to wait). What the service says is checked: order, volume size, block size.
 */
struct snapshot_pages;
struct snapshot_pages *snapshot_pages_open(struct aws *a, const char *snapshot, uint64_t start_index,
	struct error *err) MUST_CHECK;
/* What differs between two snapshots of one lineage, in the same way; see ebs_changed_init(). */
struct snapshot_pages *snapshot_pages_open_changed(struct aws *a, const char *first,
	const char *second, uint64_t start_index, struct error *err) MUST_CHECK;
/* The same entries as those of the current page, with the first snapshot's tokens. Borrowed. */
const struct ebs_block_list *snapshot_pages_first(const struct snapshot_pages *p);
/*
 * 1 with the next page that is not empty (borrowed until the next call), 0 at the end; *page then
 * has no blocks, but the volume's size. -1 on error.
 */
int snapshot_pages_next(struct snapshot_pages *p, const struct ebs_block_list **page,
	struct error *err) MUST_CHECK;
/* NULL is fine. */
void snapshot_pages_close(struct snapshot_pages *p);
DEFINE_CLEANUP(snapshot_pages, struct snapshot_pages, snapshot_pages_close)

/*
 * All pages at once, for lists that are known to be short: 264 bytes a block. The list is the
 * caller's to release, also after an error.
 */
int snapshot_list(struct aws *a, const char *snapshot, struct ebs_block_list *list,
	struct error *err) MUST_CHECK;

struct snapshot_read_opts {
	unsigned max_inflight;      /* ceiling of requests under way, at most 64; 0: 64 */
	bool (*cancelled)(void);    /* may be NULL */
	struct progress *progress;  /* begun by the caller; gets the bytes that were read; may be NULL */
	bool ordered;               /* block() is called in the order of the blocks: costs buffers */
	/* Polls readable when a block() that said 1 is to be called again; 0: after 5 ms. */
	int wake_fd;
};

/*
 * Gets a block's content (EBS_BLOCK_SIZE bytes, borrowed for the call) and its SHA-256, which was
 * compared with the service's. All calls come on the caller's thread. It must not use the AWS
 * client. -1 ends the reading. 1, only with opts->ordered: not now; it is called again soon, while
 * the requests under way go on. A consumer that blocked instead would make them time out.
 */
typedef int (*snapshot_block_fn)(void *arg, uint64_t index, const void *data,
	const uint8_t digest[SHA256_SIZE], struct error *err);

/* Reads these blocks, in any order unless opts->ordered. opts may be NULL. */
int snapshot_read_blocks(struct aws *a, const char *snapshot, const struct ebs_block *blocks,
	size_t nr, const struct snapshot_read_opts *opts, snapshot_block_fn block, void *arg,
	struct error *err) MUST_CHECK;

/*
 * Where a reader's blocks come from: 1 with the next one, 0 at the end. It may use the AWS client,
 * and is called on the caller's thread, not before the block is about to be asked for.
 */
struct snapshot_source {
	int (*next)(void *arg, struct ebs_block *block, struct error *err);
	void *arg;
};

/* The same for blocks from a source, without a stop between pages. */
int snapshot_read(struct aws *a, const char *snapshot, const struct snapshot_source *source,
	const struct snapshot_read_opts *opts, snapshot_block_fn block, void *arg,
	struct error *err) MUST_CHECK;

#endif
