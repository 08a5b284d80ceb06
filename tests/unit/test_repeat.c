/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of many members through the decompressors that pass members of zeros by: whatever pieces the bytes come in,
 * out comes what went in, and what is cut or changed is told.
 */
#include "formats/repeat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/num.h"
#include "base/zero.h"
#include "formats/deflate.h"
#include "formats/gunzip.h"
#include "formats/zstd_frame.h"
#include "formats/zstd_stream.h"

/* What came out, and how much of it as lengths of zeros. */
struct sink {
	struct buf out;
	uint64_t passed;
};

static int take(void *arg, const void *data, size_t len, struct error *err)
{
	struct sink *s = arg;

	return buf_add(&s->out, data, len, err);
}

static int take_zeros(void *arg, uint64_t len, struct error *err)
{
	struct sink *s = arg;
	void *to = buf_extend(&s->out, (size_t)len, err);

	if (!to)
		return -1;
	memset(to, 0, (size_t)len);
	s->passed += len;
	return 0;
}

static int run_gunzip(struct sink *s, const struct buf *in, size_t step, struct error *err)
{
	CLEANUP(gunzip_cleanup) struct gunzip *g = gunzip_new(take, s, err);

	assert_non_null(g);
	gunzip_take_zeros(g, take_zeros);
	for (size_t at = 0; at < in->len; at += step)
		if (gunzip_push(g, in->data + at, MIN(step, in->len - at), err) < 0)
			return -1;
	return gunzip_end(g, err);
}

static int run_zstd(struct sink *s, const struct buf *in, size_t step, struct error *err)
{
	CLEANUP(zstd_stream_cleanup) struct zstd_stream *z = zstd_stream_new(take, take_zeros, s, err);

	assert_non_null(z);
	for (size_t at = 0; at < in->len; at += step)
		if (zstd_stream_push(z, in->data + at, MIN(step, in->len - at), err) < 0)
			return -1;
	return zstd_stream_end(z, err);
}

/* One member. */
static void add_gzip(struct buf *packed, const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	CLEANUP(deflate_cleanup) struct deflate *d = deflate_new(0, &err);

	assert_int_equal(deflate_gzip(d, data, len, packed, &err), 0);
}

static void add_zstd(struct buf *packed, const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	struct zstd_frame *z = zstd_frame_new(0, &err);

	assert_int_equal(zstd_frame_add(z, data, len, packed, &err), 0);
	zstd_frame_free(z);
}

static const struct form {
	int (*run)(struct sink *s, const struct buf *in, size_t step, struct error *err);
	void (*add)(struct buf *packed, const void *data, size_t len);
} forms[] = {{run_gunzip, add_gzip}, {run_zstd, add_zstd}};

enum { LONG = 256 << 10, SHORT = 64 << 10 };

static uint8_t pieces[3][LONG]; /* zeros; zeros but for the end; what does not compress */

static void make_pieces(void)
{
	uint32_t state = 1;

	pieces[1][LONG - 1] = 1;
	for (size_t i = 0; i < LONG; i++) {
		state = state * 1664525 + 1013904223;
		pieces[2][i] = (uint8_t)(state >> 24);
	}
}

/* Members that begin alike, that repeat, that come between. */
static const struct {
	unsigned piece;
	size_t len;
} members[] = {{0, LONG}, {0, LONG}, {1, LONG}, {0, LONG}, {0, SHORT}, {0, SHORT}, {0, LONG}, {2, LONG}, {0, LONG},
	{0, LONG}, {0, LONG}, {1, LONG}, {2, SHORT}, {0, LONG}};

static void make_file(const struct form *f, struct buf *packed, struct buf *plain)
{
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		f->add(packed, pieces[members[i].piece], members[i].len);
		assert_int_equal(buf_add(plain, pieces[members[i].piece], members[i].len, &err), 0);
	}
}

static void test_any_pieces(void **state)
{
	static const size_t steps[] = {1, 2, 7, 100, 4096, 1 << 30};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		CLEANUP_BUF struct buf packed = BUF_INIT(0), plain = BUF_INIT(0);

		make_file(&forms[i], &packed, &plain);
		for (size_t k = 0; k < ARRAY_SIZE(steps); k++) {
			struct error err = ERROR_INIT;
			struct sink s = {.out = BUF_INIT(0)};

			assert_int_equal(forms[i].run(&s, &packed, steps[k], &err), 0);
			assert_int_equal(s.out.len, plain.len);
			assert_memory_equal(s.out.data, plain.data, plain.len);
			/* long ones at 1, 3, 8, 9, 10 and 13, the short one at 5 */
			assert_int_equal(s.passed, 6 * (uint64_t)LONG + SHORT);
			buf_release(&s.out);
		}
	}
}

/* Cut anywhere in the last members, which are known ones: the end is missed, or lies between members. */
static void test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		CLEANUP_BUF struct buf packed = BUF_INIT(0);
		size_t one;

		forms[i].add(&packed, pieces[0], LONG);
		one = packed.len;
		forms[i].add(&packed, pieces[0], LONG);
		forms[i].add(&packed, pieces[0], LONG);
		while (--packed.len > one) {
			struct error err = ERROR_INIT;
			struct sink s = {.out = BUF_INIT(0)};
			int ret = forms[i].run(&s, &packed, 50, &err);

			assert_int_equal(ret, packed.len % one ? -1 : 0);
			if (ret < 0)
				assert_non_null(strstr(err.text, "ends too soon"));
			buf_release(&s.out);
		}
	}
}

/* Each bit of a known member changed: an error, or (in a header's time, in a code's spare bits) the same content. */
static void test_changed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		CLEANUP_BUF struct buf packed = BUF_INIT(0);
		unsigned refused = 0;
		size_t one;

		forms[i].add(&packed, pieces[0], SHORT);
		one = packed.len;
		forms[i].add(&packed, pieces[0], SHORT);
		for (size_t bit = 8 * one; bit < 8 * packed.len; bit++) {
			struct error err = ERROR_INIT;
			struct sink s = {.out = BUF_INIT(8 * LONG)};

			packed.data[bit / 8] ^= (char)(1 << bit % 8);
			if (forms[i].run(&s, &packed, 64, &err) < 0)
				refused++;
			else
				assert_true(s.out.len == 2 * SHORT && zero_all(s.out.data, s.out.len));
			packed.data[bit / 8] ^= (char)(1 << bit % 8);
			buf_release(&s.out);
		}
		assert_true(refused > 4 * one); /* of 8 */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_pieces),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_changed),
	};

	make_pieces();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
