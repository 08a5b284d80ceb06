/* SPDX-License-Identifier: Apache-2.0 */
/* A window shows its part of the parent and nothing else of it. */
#include "base/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"
#include "base/spool.h"

enum { BASE = 1048576 + 512 };

static void test_passes_on(void **state)
{
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(16 * MIB, NULL, &err);
	struct dev *w = window_new(disk, BASE, 4 * MIB, &err), *inner;
	struct extent_list list = EXTENT_LIST_INIT;
	char got[4];

	(void)state;
	assert_non_null(w);
	assert_int_equal(w->size, 4 * MIB);
	assert_int_equal(dev_pwrite(w, "abcd", 4, 0, &err), 0);
	assert_int_equal(dev_pread(disk, got, 4, BASE, &err), 0);
	assert_memory_equal(got, "abcd", 4);
	assert_int_equal(dev_clear(w, 8192, 4096, EXTENT_ZERO, &err), 0);
	assert_int_equal(dev_extents(w, 0, w->size, &list, &err), 0);
	assert_int_equal(list.nr, 4);
	assert_int_equal(list.items[2].off, 8192);
	assert_int_equal(list.items[2].kind, EXTENT_ZERO);
	assert_int_equal(list.items[3].off + list.items[3].len, w->size);

	inner = window_new(w, 8192, 4096, &err); /* and appended to a list that has something */
	assert_non_null(inner);
	extent_list_clear(&list);
	assert_int_equal(dev_extents(inner, 0, 1000, &list, &err), 0);
	assert_int_equal(dev_extents(inner, 1000, 3096, &list, &err), 0);
	assert_int_equal(list.nr, 1);
	assert_int_equal(list.items[0].len, 4096);
	assert_int_equal(dev_close(inner, &err), 0);
	extent_list_release(&list);
	assert_int_equal(dev_close(w, &err), 0);
	assert_int_equal(dev_close(disk, &err), 0);
}

static void test_references(void **state)
{
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(16 * MIB, NULL, &err);
	struct dev *w = window_new(disk, BASE, 4 * MIB, &err);
	struct spool *sp = spool_new(NULL, &err);
	static char data[100000];
	uint64_t at, len = 100000, fd_off;
	bool owned;
	int fd;

	(void)state;
	memset(data, 'z', sizeof(data));
	assert_int_equal(spool_append(sp, data, sizeof(data), &at, &err), 0);
	assert_int_equal(spool_flush(sp, &err), 0);
	assert_int_equal(dev_refer(w, 0, sizeof(data), spool_source(sp), 0, at, &err), 0);
	assert_int_equal(dev_locate(w, 1000, &len, &fd, &fd_off, &owned, &err), 0);
	assert_true(fd >= 0 && owned);
	assert_int_equal(fd_off, 1000);
	assert_int_equal(len, 99000);
	close(fd);
	assert_int_equal(dev_close(w, &err), 0);
	assert_int_equal(dev_close(disk, &err), 0);
	spool_free(sp);
}

static void test_outside(void **state)
{
	struct error err = ERROR_INIT;
	struct dev *disk = disk_new(MIB, NULL, &err), *w;
	char byte;

	(void)state;
	assert_null(window_new(disk, MIB - 1, 2, &err));
	assert_int_equal(err.kind, ERROR_BUG);
	assert_null(window_new(disk, UINT64_MAX, 2, &err));
	w = window_new(disk, 0, 512, &err);
	assert_int_equal(dev_pread(w, &byte, 1, 512, &err), -1);
	assert_int_equal(dev_close(w, &err), 0);
	assert_int_equal(dev_close(disk, &err), 0);
}

/* What is taken is closed with the window, and when there is none: the sanitizer sees what is not. */
static void test_takes(void **state)
{
	struct error err = ERROR_INIT;
	struct dev *w = window_take(disk_new(MIB, NULL, &err), 4096, 512, &err);
	char byte = 1;

	(void)state;
	assert_int_equal(w->size, 512);
	assert_int_equal(dev_pread(w, &byte, 1, 511, &err), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(dev_close(w, &err), 0);
	assert_null(window_take(disk_new(MIB, NULL, &err), MIB, 1, &err));
	assert_int_equal(err.kind, ERROR_BUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes_on),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
