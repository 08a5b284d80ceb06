/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a qcow2 image. It is opened or refused with a reason; what is opened can be read and asked for
 * its extents all over, each time with data or a reason. Extents and data agree, and pieces read as the whole.
 */
#include "tests/fuzz/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/zero.h"
#include "formats/qcow2.h"
#include "tests/lib/bytesdev.h"

enum { INPUT_MAX = 1 << 20, STEP = 70000, STEPS = 32 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_failure(const struct error *err)
{
	check(err->kind == ERROR_INPUT && err->text[0]);
}

static void check_extents(struct dev *dev, const uint8_t *buf, size_t len, uint64_t off)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;
	uint64_t at = off;

	check(dev_extents(dev, off, len, &list, &err) == 0);
	for (size_t i = 0; i < list.nr; i++) {
		const struct extent *e = &list.items[i];

		check(e->off == at);
		at += e->len;
		check(e->kind == EXTENT_DATA || zero_all(buf + (e->off - off), (size_t)e->len));
	}
	check(at == off + len);
	extent_list_release(&list);
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

static void read_step(struct dev *dev, uint64_t off, uint8_t *buf)
{
	struct error err = ERROR_INIT;
	size_t len = (size_t)MIN((uint64_t)STEP, dev->size - off);

	if (dev_pread(dev, buf, len, off, &err) < 0) {
		check_failure(&err);
		return;
	}
	check_extents(dev, buf, len, off);
	check_pieces(dev, buf, len, off);
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
	read_all(image.dev);
	dev_close(image.dev, NULL);
	return 0;
}
