/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a qcow2 image. It is opened or refused with a reason; what is opened can be read and asked for
 * its extents all over, each time with data or a reason. Extents and data agree, and pieces read as the whole.
 */
#include "tests/fuzz/replay.h"

#include <string.h>

#include "formats/qcow2.h"
#include "tests/fuzz/disk.h"
#include "tests/lib/bytesdev.h"

enum { INPUT_MAX = 1 << 20, STEP = 70000, STEPS = 32 };

static void check_failure(const struct error *err)
{
	check(err->kind == ERROR_INPUT && err->text[0]);
}

static void check_pieces(struct dev *dev, const uint8_t *buf, size_t len, uint64_t off)
{
	struct error err = ERROR_INIT;
	uint8_t piece[1234];

	for (size_t at = 0; at < len; at += sizeof(piece)) {
		size_t n = MIN(sizeof(piece), len - at);

		check(dev_pread(dev, piece, n, off + at, &err) == 0 && !memcmp(piece, buf + at, n));
	}
}

static void look(struct dev *dev, uint64_t off, size_t len, uint8_t *buf)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;

	if (dev_pread(dev, buf, len, off, &err) < 0) {
		check_failure(&err);
		return;
	}
	check(dev_extents(dev, off, len, &list, &err) == 0);
	check_extents(&list, buf, off, len);
	extent_list_release(&list);
	check_pieces(dev, buf, len, off);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct format_read_opts opts = {.workers = 1};
	struct error err = ERROR_INIT;
	struct image image = {.format = "qcow2"};
	struct dev *file;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	file = bytesdev_new(data, size);
	check(file != NULL);
	if (qcow2_open(file, "fuzz.qcow2", &opts, &image, &err) < 0) {
		check_failure(&err);
		check(!image.dev);
		return 0;
	}
	check(image.dev != NULL && image.dev->size > 0);
	disk_steps(image.dev, STEP, STEPS, look);
	dev_close(image.dev, NULL);
	return 0;
}
