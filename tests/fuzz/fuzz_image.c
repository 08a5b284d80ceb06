/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an image of whatever format they seem to be. It is opened or refused with a reason; what is
 * opened can be read and asked for its extents all over, each time with data or a reason, and extents and
 * data agree.
 */
#include "tests/fuzz/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/zero.h"
#include "formats/format.h"
#include "tests/lib/bytesdev.h"

enum { INPUT_MAX = 1 << 20, STEP = 200000, STEPS = 64 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void read_step(struct dev *dev, uint64_t off, uint8_t *buf)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	size_t len = (size_t)MIN((uint64_t)STEP, dev->size - off);
	bool read = dev_pread(dev, buf, len, off, &err) == 0;

	check(read || err.text[0]);
	error_clear(&err);
	if (dev_extents(dev, off, len, &list, &err) < 0)
		check(err.text[0] != '\0');
	for (size_t i = 0; read && i < list.nr; i++)
		check(list.items[i].kind == EXTENT_DATA ||
			zero_all(buf + (list.items[i].off - off), (size_t)list.items[i].len));
	extent_list_release(&list);
}

/* From both ends, when it says that it is large. */
static void read_all(struct dev *dev)
{
	uint64_t steps = num_div_up(dev->size, STEP);
	uint8_t *buf = malloc(STEP);

	check(buf != NULL);
	for (uint64_t i = 0; i < MIN(steps, (uint64_t)STEPS); i++)
		read_step(dev, i * STEP, buf);
	for (uint64_t i = steps - MIN(steps, (uint64_t)STEPS); i < steps; i++)
		read_step(dev, i * STEP, buf);
	free(buf);
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
	read_all(image.dev);
	dev_close(image.dev, NULL);
	return 0;
}
