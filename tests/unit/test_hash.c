/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, HMAC (RFC 4231), base64 (RFC 4648), hex, UUIDs. */
#include "base/hash.h"
#include "tests/lib/allocfail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

static const char *hex_of(const uint8_t digest[SHA256_SIZE])
{
	static char text[SHA256_HEX_SIZE];

	return hex_encode(text, digest, SHA256_SIZE);
}

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_sha256(void **state)
{
	struct error err = ERROR_INIT;
	uint8_t digest[SHA256_SIZE];
	struct sha256 *h = sha256_new(&err);

	(void)state;
	assert_int_equal(sha256("", 0, digest, &err), 0);
	assert_string_equal(hex_of(digest), EMPTY_SHA256);
	assert_int_equal(sha256("abc", 3, digest, &err), 0);
	assert_string_equal(hex_of(digest), ABC_SHA256);
	assert_non_null(h);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(sha256_update(h, "a", 1, &err), 0);
		assert_int_equal(sha256_update(h, "", 0, &err), 0);
		assert_int_equal(sha256_update(h, "bc", 2, &err), 0);
		assert_int_equal(sha256_final(h, digest, &err), 0);
		assert_string_equal(hex_of(digest), ABC_SHA256);
	}
	sha256_free(h);
	sha256_free(NULL);
}

static void test_hmac(void **state)
{
	struct error err = ERROR_INIT;
	uint8_t key[131], digest[SHA256_SIZE];
	const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";

	(void)state;
	memset(key, 0x0b, 20);
	assert_int_equal(hmac_sha256(key, 20, "Hi There", 8, digest, &err), 0);
	assert_string_equal(
		hex_of(digest), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	text = "what do ya want for nothing?";
	assert_int_equal(hmac_sha256("Jefe", 4, text, strlen(text), digest, &err), 0);
	assert_string_equal(
		hex_of(digest), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	text = "Test Using Larger Than Block-Size Key - Hash Key First";
	assert_int_equal(hmac_sha256(key, sizeof(key), text, strlen(text), digest, &err), 0);
	assert_string_equal(
		hex_of(digest), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	assert_int_equal(hmac_sha256("", 0, "", 0, digest, &err), 0);
	assert_string_equal(
		hex_of(digest), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void test_hex(void **state)
{
	uint8_t raw[3];

	(void)state;
	assert_false(hex_decode(raw, 3, "00fFa5"));
	assert_memory_equal(raw, "\x00\xff\xa5", 3);
	assert_true(hex_decode(raw, 3, "00ffa"));
	assert_true(hex_decode(raw, 3, "00ff"));
	assert_true(hex_decode(raw, 3, "00ffa55"));
	assert_true(hex_decode(raw, 3, "00fga5"));
	assert_true(hex_decode(raw, 3, ""));
	assert_int_equal(hex_digit('9'), 9);
	assert_int_equal(hex_digit('a'), 10);
	assert_int_equal(hex_digit('F'), 15);
	for (const char *none = "/:@G`g\xb0"; *none; none++)
		assert_int_equal(hex_digit(*none), -1);
}

static void test_base64(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {"Z", "Zg",
		"Zg=", "Zg===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9v\n", "Zm9-",
		"=Zg=", "Z==="};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		CLEANUP_BUF struct buf b = BUF_INIT(0);

		assert_int_equal(buf_add_str(&b, "+", &err), 0);
		assert_int_equal(base64_encode(&b, pairs[i][0], strlen(pairs[i][0]), &err), 0);
		assert_string_equal(buf_str(&b) + 1, pairs[i][1]);
		buf_clear(&b);
		assert_int_equal(base64_decode(&b, pairs[i][1], &err), 0);
		assert_string_equal(buf_str(&b), pairs[i][0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP_BUF struct buf b = BUF_INIT(0);

		assert_int_equal(base64_decode(&b, bad[i], &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_int_equal(b.len, 0);
	}
}

static void test_base64_large(void **state)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0), back = BUF_INIT(0);
	struct error err = ERROR_INIT;
	size_t len = (7 << 20) + 1;
	CLEANUP_FREE uint8_t *raw = malloc(len);

	(void)state;
	assert_non_null(raw);
	for (size_t i = 0; i < len; i++)
		raw[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(base64_encode(&text, raw, len, &err), 0);
	assert_int_equal(text.len, (len + 2) / 3 * 4);
	assert_int_equal(base64_decode(&back, buf_str(&text), &err), 0);
	assert_int_equal(back.len, len);
	assert_int_equal(memcmp(back.data, raw, len), 0);
}

static void test_base64_sha256(void **state)
{
	struct error err = ERROR_INIT;
	uint8_t digest[SHA256_SIZE];
	char text[SHA256_BASE64_SIZE];

	(void)state;
	assert_int_equal(sha256("", 0, digest, &err), 0);
	assert_string_equal(
		base64_sha256(text, digest), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

static void test_uuid(void **state)
{
	struct error err = ERROR_INIT;
	uint8_t a[16], b[16], digest[SHA256_SIZE];
	char text[UUID_TEXT_SIZE];

	(void)state;
	assert_int_equal(hash_uuid("salt", "root", a, &err), 0);
	assert_int_equal(sha256("salt\0root", 9, digest, &err), 0);
	assert_memory_equal(a, digest, 6);
	assert_int_equal(a[6] >> 4, 8);
	assert_int_equal(a[8] >> 6, 2);
	assert_memory_equal(a + 9, digest + 9, 7);
	assert_int_equal(hash_uuid("saltr", "oot", b, &err), 0);
	assert_memory_not_equal(a, b, 16);
	assert_int_equal(strlen(uuid_format(text, a)), UUID_TEXT_SIZE - 1);
	assert_false(uuid_from_text(b, text));
	assert_memory_equal(a, b, 16);
	assert_false(uuid_from_text(b, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"));
	assert_string_equal(uuid_format(text, b), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
	assert_true(uuid_from_text(b, "c12a7328-f81f-11d2-ba4b-00a0c93ec93"));
	assert_true(uuid_from_text(b, "c12a7328f-81f-11d2-ba4b-00a0c93ec93b"));
	assert_true(uuid_from_text(b, "g12a7328-f81f-11d2-ba4b-00a0c93ec93b"));
	assert_true(uuid_from_text(b, ""));
}

static int hash_all(struct error *err)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	uint8_t digest[SHA256_SIZE], uuid[16];

	if (sha256("abc", 3, digest, err) < 0 || hmac_sha256("k", 1, "abc", 3, digest, err) < 0 ||
		hash_uuid("salt", "text", uuid, err) < 0)
		return -1;
	return base64_encode(&b, digest, sizeof(digest), err);
}

static void test_no_memory(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	/* The library keeps what its first use sets up. */
	assert_int_equal(hash_all(&err), 0);
	assert_true(allocfail_torture(hash_all));
}

/* FIPS 180-4's examples. */
static void test_sha1(void **state)
{
	char text[SHA1_HEX_SIZE];
	uint8_t digest[SHA1_SIZE];

	(void)state;
	assert_int_equal(sha1("abc", 3, digest, NULL), 0);
	assert_string_equal(hex_encode(text, digest, SHA1_SIZE), "a9993e364706816aba3e25717850c26c9cd0d89d");
	assert_int_equal(sha1("", 0, digest, NULL), 0);
	assert_string_equal(hex_encode(text, digest, SHA1_SIZE), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_sha1),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_base64_large),
		cmocka_unit_test(test_base64_sha256),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
