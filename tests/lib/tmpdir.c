/* SPDX-License-Identifier: Apache-2.0 */
/* Folders for tests. */
#include "tests/lib/tmpdir.h"

#include <ftw.h>
#include <stdio.h>

#include "base/buf.h"

char *tmpdir_new(void)
{
	const char *base = getenv("TMPDIR");
	char *path = buf_strf(NULL, "%s/amiwright-test-XXXXXX", base && *base ? base : "/tmp");

	if (path && mkdtemp(path))
		return path;
	free(path);
	return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void tmpdir_free(char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}
