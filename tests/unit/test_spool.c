/* SPDX-License-Identifier: Apache-2.0 */
/* The spool: what was appended can be read, overwritten and had by descriptor, buffered or not. */
#include "base/spool.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_append_and_read(void **state)
{
	enum { NR = 400, PIECE = 7001 }; /* more than two buffers of 1 MiB */
	struct error err = ERROR_INIT;
	struct spool *sp = spool_new(NULL, &err);
	static char piece[PIECE], got[PIECE * 2];
	uint64_t off;

	(void)state;
	assert_non_null(sp);
	for (int i = 0; i < NR; i++) {
		memset(piece, i, PIECE);
		assert_int_equal(spool_append(sp, piece, PIECE, &off, &err), 0);
		assert_int_equal(off, (uint64_t)i * PIECE);
	}
	assert_int_equal(spool_size(sp), NR * PIECE);
	for (int i = 0; i + 1 < NR; i++) { /* each range reaches over two pieces */
		assert_int_equal(spool_pread(sp, got, PIECE * 2, (uint64_t)i * PIECE, &err), 0);
		assert_int_equal((char)i, got[0]);
		assert_int_equal((char)i, got[PIECE - 1]);
		assert_int_equal((char)(i + 1), got[PIECE]);
		assert_int_equal((char)(i + 1), got[PIECE * 2 - 1]);
	}
	for (uint64_t at = 0; at + PIECE <= NR * PIECE; at += 50021) {
		memset(piece, 'w', PIECE);
		assert_int_equal(spool_pwrite(sp, piece, PIECE, at, &err), 0);
		assert_int_equal(spool_pread(sp, got, PIECE, at, &err), 0);
		assert_memory_equal(got, piece, PIECE);
	}
	assert_int_equal(spool_pread(sp, got, 2, NR * PIECE - 1, &err), -1);
	assert_int_equal(spool_pwrite(sp, got, 2, UINT64_MAX, &err), -1);
	spool_free(sp);
}

static void test_large_append(void **state)
{
	enum { LARGE = 3 << 20 };
	struct error err = ERROR_INIT;
	struct spool *sp = spool_new(NULL, &err);
	char *large = malloc(LARGE), byte;
	uint64_t off;

	(void)state;
	assert_non_null(large);
	memset(large, 'l', LARGE);
	assert_int_equal(spool_append(sp, "s", 1, &off, &err), 0);
	assert_int_equal(spool_append(sp, large, LARGE, &off, &err), 0);
	assert_int_equal(off, 1);
	assert_int_equal(spool_append(sp, "e", 1, &off, &err), 0);
	assert_int_equal(off, LARGE + 1);
	assert_int_equal(spool_pread(sp, &byte, 1, LARGE, &err), 0);
	assert_int_equal(byte, 'l');
	assert_int_equal(spool_pread(sp, &byte, 1, LARGE + 1, &err), 0);
	assert_int_equal(byte, 'e');
	free(large);
	spool_free(sp);
}

static void test_descriptor(void **state)
{
	struct error err = ERROR_INIT;
	struct spool *sp = spool_new("/tmp", &err);
	uint64_t off, base;
	char got[3];
	int fd;

	(void)state;
	assert_int_equal(spool_append(sp, "abc", 3, &off, &err), 0);
	assert_int_equal(source_open(spool_source(sp), 0, &fd, &base, &err), -1);
	assert_int_equal(err.kind, ERROR_BUG);
	assert_int_equal(spool_flush(sp, &err), 0);
	assert_int_equal(source_open(spool_source(sp), 0, &fd, &base, &err), 0);
	assert_int_equal(pread(fd, got, 3, (off_t)base), 3);
	assert_memory_equal(got, "abc", 3);
	close(fd);
	assert_int_equal(source_pread(spool_source(sp), 0, got, 2, 1, &err), 0);
	assert_memory_equal(got, "bc", 2);
	spool_free(sp);
	spool_free(NULL);
}

static void test_no_folder(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_null(spool_new("/nonexistent", &err));
	assert_int_equal(err.kind, ERROR_IO);
	assert_int_equal(err.errnum, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_read),
		cmocka_unit_test(test_large_append),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_no_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
