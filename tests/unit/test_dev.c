/* SPDX-License-Identifier: Apache-2.0 */
/* The wrappers: ranges are checked before a device is called, empty slots have defaults. */
#include "base/dev.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"
#include "base/spool.h"
#include "tests/lib/faultdev.h"

/* A device with nothing but the slots that are required, and pwrite when asked for. */
struct plain {
	struct dev dev;
	uint8_t bytes[700 * 1024];
};

static int plain_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	(void)err;
	memcpy(buf, ((struct plain *)dev)->bytes + off, len);
	return 0;
}

static int plain_pwrite(
	struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err)
{
	(void)err;
	memcpy(((struct plain *)dev)->bytes + off, buf, len);
	return 0;
}

static int plain_close(struct dev *dev, struct error *err)
{
	(void)err;
	free(dev);
	return 0;
}

static const struct dev_ops plain_ops = {
	.name = "plain", .pread = plain_pread, .pwrite = plain_pwrite, .close = plain_close};
static const struct dev_ops readonly_ops = {
	.name = "plain", .pread = plain_pread, .close = plain_close};

static struct plain *new_plain(const struct dev_ops *ops)
{
	struct plain *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	memset(p->bytes, 'x', sizeof(p->bytes));
	p->dev.ops = ops;
	p->dev.size = sizeof(p->bytes);
	return p;
}

static void test_ranges(void **state)
{
	struct error err = ERROR_INIT;
	struct plain *p = new_plain(&plain_ops);
	struct extent_list list = EXTENT_LIST_INIT;
	uint64_t size = p->dev.size;
	char byte;

	(void)state;
	assert_int_equal(dev_pread(&p->dev, &byte, 1, size - 1, &err), 0);
	assert_int_equal(dev_pread(&p->dev, NULL, 0, size, &err), 0);
	assert_int_equal(dev_pread(&p->dev, &byte, 1, size, &err), -1);
	assert_int_equal(err.kind, ERROR_BUG);
	assert_int_equal(dev_pread(&p->dev, &byte, 2, UINT64_MAX, &err), -1);
	assert_int_equal(dev_pwrite(&p->dev, &byte, 2, size - 1, &err), -1);
	assert_int_equal(dev_clear(&p->dev, 1, size, EXTENT_ZERO, &err), -1);
	assert_int_equal(dev_extents(&p->dev, size + 1, 0, &list, &err), -1);
	assert_int_equal(dev_close(&p->dev, &err), 0);
	assert_int_equal(dev_close(NULL, &err), 0);
}

static void test_defaults(void **state)
{
	struct error err = ERROR_INIT;
	struct plain *p = new_plain(&plain_ops);
	struct extent_list list = EXTENT_LIST_INIT;
	struct spool *sp = spool_new(NULL, &err);
	static uint8_t data[600 * 1024];
	uint64_t len = 1000, fd_off, at;
	bool owned;
	int fd;

	(void)state;
	assert_int_equal(dev_clear(&p->dev, 1, 600 * 1024, EXTENT_UNUSED, &err), 0);
	assert_int_equal(p->bytes[0], 'x');
	assert_memory_equal(p->bytes + 1, data, sizeof(data));
	assert_int_equal(p->bytes[600 * 1024 + 1], 'x');

	memset(data, 'r', sizeof(data));
	assert_int_equal(spool_append(sp, data, sizeof(data), &at, &err), 0);
	assert_int_equal(dev_refer(&p->dev, 5, sizeof(data), spool_source(sp), 0, 0, &err), 0);
	assert_memory_equal(p->bytes + 5, data, sizeof(data));
	assert_int_equal(dev_refer(&p->dev, 5, 10, spool_source(sp), 0, UINT64_MAX, &err), -1);

	assert_int_equal(dev_extents(&p->dev, 10, 20, &list, &err), 0);
	assert_int_equal(list.nr, 1);
	assert_int_equal(list.items[0].kind, EXTENT_DATA);
	assert_int_equal(dev_locate(&p->dev, 0, &len, &fd, &fd_off, &owned, &err), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(len, 1000);
	assert_int_equal(dev_flush(&p->dev, &err), 0);
	extent_list_release(&list);
	spool_free(sp);
	assert_int_equal(dev_close(&p->dev, &err), 0);
}

static void test_read_only(void **state)
{
	struct error err = ERROR_INIT;
	struct plain *p = new_plain(&readonly_ops);

	(void)state;
	assert_int_equal(dev_pwrite(&p->dev, "a", 1, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	assert_int_equal(err.errnum, EROFS);
	assert_int_equal(dev_clear(&p->dev, 0, 1, EXTENT_ZERO, &err), -1);
	assert_int_equal(dev_close(&p->dev, &err), 0);
}

static int call(struct dev *dev, enum faultdev_call which, struct error *err)
{
	struct extent_list list = EXTENT_LIST_INIT;
	char byte = 'a';
	int ret;

	if (which == FAULTDEV_PREAD)
		return dev_pread(dev, &byte, 1, 0, err);
	if (which == FAULTDEV_PWRITE)
		return dev_pwrite(dev, &byte, 1, 0, err);
	ret = dev_extents(dev, 0, dev->size, &list, err);
	extent_list_release(&list);
	return ret;
}

/* What the device below says comes through the wrappers, and nothing stays of it. */
static void test_faults(void **state)
{
	static const enum faultdev_call calls[] = {
		FAULTDEV_PREAD, FAULTDEV_EXTENTS, FAULTDEV_PWRITE};
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(4 * MIB, NULL, &err), *fault = faultdev_new(disk);

	(void)state;
	assert_non_null(fault);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		faultdev_fail(fault, calls[i], 1);
		error_clear(&err);
		assert_int_equal(call(fault, calls[i], &err), -1);
		assert_int_equal(err.errnum, EIO);
		assert_int_equal(faultdev_calls(fault, calls[i]), 1);
		faultdev_fail(fault, calls[i], 0);
		assert_int_equal(call(fault, calls[i], &err), 0);
	}
	assert_int_equal(dev_close(fault, &err), 0);
	assert_int_equal(dev_close(disk, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
