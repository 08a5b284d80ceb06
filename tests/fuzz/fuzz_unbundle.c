/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a manifest and as the tar archive of a bundle: content of the size that was said, or an
 * error of its kind with a text. The first byte says how the archive is cut into pieces.
 */
#include "tests/fuzz/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "formats/unbundle.h"
#include "formats/unbundle_tar.h"

enum { INPUT_MAX = 256 << 10 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int count(void *arg, const void *data, uint64_t len, struct error *err)
{
	uint64_t *sum = arg;

	(void)data;
	(void)err;
	check(len > 0);
	*sum += len;
	return 0;
}

static void try_tar(const uint8_t *data, size_t size, uint64_t file_size, size_t step)
{
	struct error err = ERROR_INIT;
	uint64_t sum = 0;
	struct unbundle_tar *t = unbundle_tar_new(file_size, count, &sum, &err);
	int ret = t ? 0 : -1;

	for (size_t off = 0; off < size && !ret; off += step)
		ret = unbundle_tar_push(t, data + off, MIN(step, size - off), &err);
	if (!ret)
		ret = unbundle_tar_end(t, &err);
	unbundle_tar_free(t);
	check(sum <= file_size);
	if (!ret)
		check(sum == file_size);
	else
		check(err.kind != ERROR_NONE && err.kind != ERROR_BUG && err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_BUF struct buf text = BUF_INIT(INPUT_MAX);
	struct error err = ERROR_INIT;
	struct unbundle u = {0};

	if (size < 9 || size > INPUT_MAX || buf_add(&text, data, size, &err) < 0)
		return 0;
	if (unbundle_parse(&u, "fuzz", &text, &err) < 0)
		check(err.kind != ERROR_NONE && err.kind != ERROR_BUG && err.text[0]);
	unbundle_release(&u);
	try_tar(data + 9, size - 9, num_get_le64(data + 1), data[0] + 1u);
	return 0;
}
