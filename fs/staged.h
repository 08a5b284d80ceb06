/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A staged file: a finished, unlinked temporary file that devices refer to. File systems that other
 * programs or libraries write as a whole (vfat, squashfs) end up in one.
 */
#ifndef AMIWRIGHT_FS_STAGED_H
#define AMIWRIGHT_FS_STAGED_H

#include "base/dev.h"

struct staged;

/* Takes fd, also on error. The file must not change any more. name is borrowed, for messages. */
struct staged *staged_new(int fd, const char *name, struct error *err) MUST_CHECK;
/* What refers to it must be closed before. NULL is fine. */
void staged_free(struct staged *s);

/* Makes [off, off+len) of dev refer to the same place of the file; len 0 does nothing. */
int staged_refer(struct staged *s, struct dev *dev, uint64_t off, uint64_t len, struct error *err)
	MUST_CHECK;
/* The same, but pages of zeros become EXTENT_ZERO. For tables, most of which is empty. */
int staged_refer_sparse(struct staged *s, struct dev *dev, uint64_t off, uint64_t len,
	struct error *err) MUST_CHECK;

#endif
