/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of a test's own under TMPDIR, gone with all in it when the test ends. */
#ifndef AMIWRIGHT_TESTS_LIB_TMPDIR_H
#define AMIWRIGHT_TESTS_LIB_TMPDIR_H

#include "base/cleanup.h"

/* Its path; NULL when it cannot be made. */
char *tmpdir_new(void);
/* Removes it, then frees the path. */
void tmpdir_free(char *path);
DEFINE_CLEANUP(tmpdir, char, tmpdir_free)
#define CLEANUP_TMPDIR CLEANUP(tmpdir_cleanup)

#endif
