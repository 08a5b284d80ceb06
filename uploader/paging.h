/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a list that comes page by page gets anywhere. A service says where the next page begins by
 * a token that only it can read, so two things have to be watched: tokens that lead round in a circle
 * (A, B, A …), and pages that have nothing in them. One empty page is no fault: EC2's and EBS's
 * lists may have such in their middle ("Pagination" in the EC2 API Reference; NextToken of
 * ListSnapshotBlocks in the EBS direct APIs reference). S3's are held to the same.
 */
#ifndef AMIWRIGHT_UPLOADER_PAGING_H
#define AMIWRIGHT_UPLOADER_PAGING_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct paging {
	uint64_t max_empty; /* in a row */
	/* private */
	uint64_t empty;
	char *mark;         /* a token that was seen; owned */
	uint64_t steps, span; /* since the mark was set; until the next one is */
};

/*
 * A page has come, and this token for the one behind it. ERROR_SERVICE when the list goes round in a
 * circle (noticed within three rounds) or max_empty pages in a row were empty; what: begins the
 * message.
 */
int paging_next(struct paging *p, bool empty, const char *token, const char *what, struct error *err)
	MUST_CHECK;
/* The list is begun anew at a later place: tokens may come again. Empty pages count on. */
void paging_restart(struct paging *p);
void paging_release(struct paging *p);

#endif
