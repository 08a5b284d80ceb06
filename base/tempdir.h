/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A temporary folder of our own (0700) for programs that want names: made below a folder, removed
 * with all that is in it. What a kill leaves behind begins with ".amiwright-".
 */
#ifndef AMIWRIGHT_BASE_TEMPDIR_H
#define AMIWRIGHT_BASE_TEMPDIR_H

#include "base/cleanup.h"
#include "base/error.h"

/* below: NULL for /var/tmp. The path is the caller's, for tempdir_remove(). */
char *tempdir_new(const char *below, struct error *err) MUST_CHECK;
/* Removes and frees; NULL is fine. What cannot be removed is logged. */
void tempdir_remove(char *path);

DEFINE_CLEANUP(tempdir, char, tempdir_remove)

#endif
