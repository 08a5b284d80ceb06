/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an initrd: names within their limits, or an error of its kind with a text. */
#include "tests/fuzz/replay.h"

#include <stdlib.h>
#include <string.h>

#include "fs/initrd.h"

enum { INPUT_MAX = 256 << 10 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int count(void *arg, const char *path, uint32_t mode, struct error *err)
{
	unsigned *nr = arg;

	(void)mode;
	(void)err;
	check(path[0] != '/' && strlen(path) < 4096);
	check(++*nr <= INITRD_NAMES_MAX);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	unsigned nr = 0;

	if (size > INPUT_MAX)
		return 0;
	if (initrd_walk_mem(data, size, "fuzz", count, &nr, &err) < 0)
		check(err.kind != ERROR_NONE && err.kind != ERROR_BUG && err.text[0]);
	return 0;
}
