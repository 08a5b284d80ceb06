/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an image of whatever format they seem to be. It is opened or refused with a reason; what is
 * opened can be read and asked for its extents all over, each time with data or a reason, and extents and
 * data agree.
 */
#include "tests/fuzz/replay.h"

#include "formats/format.h"
#include "tests/fuzz/disk.h"
#include "tests/lib/bytesdev.h"

enum { INPUT_MAX = 1 << 20, STEP = 200000, STEPS = 64 };

static void look(struct dev *dev, uint64_t off, size_t len, uint8_t *buf)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	bool read = dev_pread(dev, buf, len, off, &err) == 0;

	check(read || err.text[0]);
	error_clear(&err);
	if (dev_extents(dev, off, len, &list, &err) < 0)
		check(err.text[0] != '\0');
	else if (read)
		check_extents(&list, buf, off, len);
	extent_list_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct format_read_opts opts = {.workers = 1};
	struct error err = ERROR_INIT;
	struct image image;
	struct dev *file;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	file = bytesdev_new(data, size);
	check(file != NULL);
	if (format_open_dev(file, "/nonexistent/fuzz", &opts, &image, &err) < 0) {
		check(err.text[0] && !image.dev);
		return 0;
	}
	check(image.dev != NULL && image.dev->size > 0);
	disk_steps(image.dev, STEP, STEPS, look);
	dev_close(image.dev, NULL);
	return 0;
}
