/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window: [off, off+len) of another device as a device of its own. A partition's file-system
 * writer gets one. All that the parent can do (references, extents, descriptors), the window can
 * do.
 */
#ifndef AMIWRIGHT_BASE_WINDOW_H
#define AMIWRIGHT_BASE_WINDOW_H

#include "base/dev.h"

/*
 * Borrows parent until the window is closed; closing it leaves the parent open. ERROR_BUG when
 * outside.
 */
struct dev *window_new(struct dev *parent, uint64_t off, uint64_t len, struct error *err) MUST_CHECK;
/* The same, but takes parent, also on error: it is closed with the window. */
struct dev *window_take(struct dev *parent, uint64_t off, uint64_t len, struct error *err) MUST_CHECK;

#endif
