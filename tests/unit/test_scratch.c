/* SPDX-License-Identifier: Apache-2.0 */
/* What is written to a temporary file is read back in any pieces, sealed or not; holes stay holes. */
#include "base/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto_pages.h"
#include "base/num.h"
#include "base/zero.h"

enum { SIZE = 1 << 20, HOLE_AT = 300000, HOLE_LEN = 400000 };

static const uint8_t key[CRYPTO_PAGES_KEY] = "thirty-two bytes, not the same.";

static uint8_t *make_content(size_t len)
{
	uint8_t *content = calloc(1, len);

	assert_non_null(content);
	for (size_t i = 0; i < len; i++)
		content[i] = i >= HOLE_AT && i < HOLE_AT + HOLE_LEN ? 0 : (uint8_t)(i * 7 + i / 4096);
	return content;
}

static struct dev *write_all(const uint8_t *content, size_t len, const uint8_t *with)
{
	struct scratch *s = scratch_new("/tmp", with, NULL);
	struct dev *dev;

	assert_non_null(s);
	for (size_t at = 0, step; at < len; at += step) {
		step = MIN(len - at, (size_t)77777);
		assert_int_equal(scratch_write(s, content + at, step, NULL), 0);
	}
	assert_int_equal(scratch_size(s), len);
	dev = scratch_dev(s, "content", NULL);
	assert_non_null(dev);
	scratch_free(s);
	return dev;
}

static uint64_t data_of(struct dev *dev)
{
	struct extent_list list = {0};
	uint64_t sum = 0;

	assert_int_equal(dev_extents(dev, 0, dev->size, &list, NULL), 0);
	for (size_t i = 0; i < list.nr; i++)
		sum += list.items[i].kind == EXTENT_DATA ? list.items[i].len : 0;
	extent_list_release(&list);
	return sum;
}

static void check(size_t len, const uint8_t *with)
{
	uint8_t *content = make_content(len), *found = malloc(len);
	struct dev *dev = write_all(content, len, with);

	assert_non_null(found);
	assert_int_equal(dev->size, len);
	for (size_t at = 0, step; at < len; at += step) {
		step = MIN(len - at, at % 3 ? (size_t)4097 : (size_t)300001);
		assert_int_equal(dev_pread(dev, found + at, step, at, NULL), 0);
	}
	assert_memory_equal(found, content, len);
	if (len == SIZE)
		assert_true(data_of(dev) <= SIZE - HOLE_LEN + 2 * 4096);
	dev_close(dev, NULL);
	free(content);
	free(found);
}

static void test_there_and_back(void **state)
{
	static const size_t sizes[] = {1, 4095, 4096, 4097, 256 << 10, (256 << 10) + 1, SIZE};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		check(sizes[i], NULL);
		check(sizes[i], key);
	}
}

static void test_pages(void **state)
{
	uint8_t pages[2 * CRYPTO_PAGE] = {0}, first[CRYPTO_PAGE];

	(void)state;
	assert_int_equal(crypto_pages(true, key, 5, pages, sizeof(pages), NULL), 0);
	/* The same content, and not the same bytes; neither is zeros. */
	assert_memory_not_equal(pages, pages + CRYPTO_PAGE, CRYPTO_PAGE);
	assert_false(zero_all(pages, CRYPTO_PAGE) || zero_all(pages + CRYPTO_PAGE, CRYPTO_PAGE));
	memcpy(first, pages, sizeof(first));
	assert_int_equal(crypto_pages(false, key, 6, pages, CRYPTO_PAGE, NULL), 0);
	assert_false(zero_all(pages, CRYPTO_PAGE));
	assert_int_equal(crypto_pages(false, key, 5, first, CRYPTO_PAGE, NULL), 0);
	assert_true(zero_all(first, CRYPTO_PAGE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
