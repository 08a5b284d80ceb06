/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of streams against the check values of their specifications, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/hash_stream.h"
#include "base/num.h"

static void test_check_values(void **state)
{
	static const char text[] = "123456789";
	/* RFC 1321's and FIPS 180's algorithms by md5sum, sha1sum, sha256sum; the CRCs' catalogue. */
	static const struct {
		enum hash_kind kind;
		const char *hex;
	} rows[] = {
		{HASH_MD5, "25f9e794323b453885f5181f1b624d0b"},
		{HASH_SHA1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"},
		{HASH_SHA256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"},
		{HASH_CRC32, "cbf43926"},
		{HASH_CRC32C, "e3069283"},
		{HASH_CRC64NVME, "ae8b14860a799888"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t piece = 1; piece <= 9; piece += 4) {
			CLEANUP(hash_stream_cleanup) struct hash_stream *h =
				hash_stream_new(rows[i].kind, NULL);
			uint8_t digest[HASH_STREAM_MAX];
			char hex[2 * HASH_STREAM_MAX + 1];
			size_t len;

			assert_non_null(h);
			for (size_t at = 0; at < 9; at += piece)
				assert_int_equal(hash_stream_update(h, text + at, MIN(piece, 9 - at), NULL), 0);
			assert_int_equal(hash_stream_final(h, digest, &len, NULL), 0);
			assert_string_equal(hex_encode(hex, digest, len), rows[i].hex);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_check_values)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
