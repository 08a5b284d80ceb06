/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles written and read back; a cipher's check vector; sinks that fail; and a thousand bundles with
 * damage of all kinds, each of which is an error or the content that was bundled.
 */
#include "formats/bundle.h"
#include "formats/unbundle.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/crypto_cipher.h"
#include "base/disk.h"
#include "base/file.h"
#include "base/num.h"
#include "formats/deflate.h"
#include "tests/lib/bundlekeys.h"
#include "tests/lib/faultdev.h"
#include "tests/lib/tmpdir.h"

enum { SIZE = 300000, DAMAGES = 1000, BIG = 24 << 20 };

struct world {
	char *dir, *key_path, *certificate_path;
	struct crypto_rsa_key *key;
	struct crypto_certificate *certificate;
	struct dev *dev;
};

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static char *in(const struct world *w, const char *name)
{
	char *path = file_join(w->dir, name, NULL);

	assert_non_null(path);
	return path;
}

static struct dev *make_dev(uint64_t size, size_t data)
{
	struct disk_opts opts = {0};
	struct dev *dev = disk_new(size, &opts, NULL);
	uint64_t state = 1;

	assert_non_null(dev);
	for (size_t off = 0; off < data; off += 8) {
		uint64_t v = next_random(&state);

		assert_int_equal(dev_pwrite(dev, &v, 8, off, NULL), 0);
	}
	return dev;
}

static int enter(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->dir = tmpdir_new();
	assert_non_null(w->dir);
	w->key_path = in(w, "key");
	w->certificate_path = in(w, "crt");
	assert_int_equal(file_write_atomic(w->key_path, bundle_test_key, strlen(bundle_test_key), 0600,
				 false, NULL), 0);
	assert_int_equal(file_write_atomic(w->certificate_path, bundle_test_certificate,
				 strlen(bundle_test_certificate), 0644, false, NULL), 0);
	w->key = crypto_rsa_key_open(w->key_path, NULL, NULL, NULL);
	w->certificate = crypto_certificate_open(w->certificate_path, NULL);
	assert_true(w->key && w->certificate);
	w->dev = make_dev(SIZE, 100000);
	*state = w;
	return 0;
}

static int leave(void **state)
{
	struct world *w = *state;

	dev_close(w->dev, NULL);
	crypto_rsa_key_free(w->key);
	crypto_certificate_free(w->certificate);
	free(w->key_path);
	free(w->certificate_path);
	tmpdir_free(w->dir);
	free(w);
	return 0;
}

static struct bundle_opts opts_of(const struct world *w)
{
	return (struct bundle_opts){.prefix = "t", .user = "111122223333", .architecture = "x86_64",
		.tool_version = "1", .key = w->key, .certificate = w->certificate,
		.ec2_certificate = w->certificate, .workers = 2};
}

static void make_bundle(const struct world *w, struct dev *dev, struct bundle_result *result)
{
	struct bundle_opts opts = opts_of(w);
	struct bundle_folder *f = bundle_folder_new(w->dir, "t", true, NULL);
	struct error err = ERROR_INIT;
	char *manifest = NULL;

	assert_non_null(f);
	if (bundle_write(dev, &opts, bundle_folder_sink(f), result, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(bundle_folder_commit(f, &manifest, NULL), 0);
	free(manifest);
	bundle_folder_free(f);
}

/* What is in the image file must be what is on the device. */
static void compare(struct dev *dev, const char *path)
{
	CLEANUP_BUF struct buf file = BUF_INIT(64 << 20);
	CLEANUP_FREE char *wanted = malloc(dev->size);

	assert_non_null(wanted);
	assert_int_equal(file_read(path, &file, NULL), 0);
	assert_int_equal(file.len, dev->size);
	assert_int_equal(dev_pread(dev, wanted, dev->size, 0, NULL), 0);
	assert_memory_equal(file.data, wanted, dev->size);
}

static int unpack(const struct world *w, const char *out, bool parts, struct error *err)
{
	CLEANUP_FREE char *manifest = in(w, "t.manifest.xml");
	struct unbundle_opts opts = {0};
	struct unbundle u = {0};
	int ret = unbundle_read(&u, manifest, err);

	if (!ret && parts)
		ret = unbundle_check_signature(&u, w->certificate, err);
	if (!ret && parts)
		ret = unbundle_check_parts(&u, &opts, err);
	if (!ret)
		ret = unbundle_extract(&u, w->key, out, &opts, err);
	unbundle_release(&u);
	return ret;
}

static void test_cipher_vector(void **state)
{
	static const uint8_t key[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	static const uint8_t wanted[] = {0x57, 0x39, 0x21, 0x99, 0xbb, 0xd7, 0x45, 0x4f, 0x69, 0xb9, 0xb5,
		0xf3, 0x67, 0xff, 0x8b, 0x93};
	CLEANUP(crypto_cipher_cleanup) struct crypto_cipher *c = NULL, *d = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(100), back = BUF_INIT(100);
	uint8_t iv[16];

	(void)state;
	for (size_t i = 0; i < 16; i++)
		iv[i] = key[15 - i];
	c = crypto_cipher_new(true, key, iv, NULL);
	assert_int_equal(crypto_cipher_update(c, "hello bundle\n", 13, &out, NULL), 0);
	assert_int_equal(crypto_cipher_final(c, &out, NULL), 0);
	assert_int_equal(out.len, sizeof(wanted));
	assert_memory_equal(out.data, wanted, sizeof(wanted));
	d = crypto_cipher_new(false, key, iv, NULL);
	assert_int_equal(crypto_cipher_update(d, out.data, out.len, &back, NULL), 0);
	assert_int_equal(crypto_cipher_final(d, &back, NULL), 0);
	assert_string_equal(buf_str(&back), "hello bundle\n");
}

static void test_there_and_back(void **state)
{
	const struct world *w = *state;
	CLEANUP_FREE char *out = in(w, "image");
	struct bundle_result result;
	struct error err = ERROR_INIT;

	make_bundle(w, w->dev, &result);
	assert_int_equal(result.nr_parts, 1);
	assert_int_equal(unpack(w, out, true, &err), 0);
	compare(w->dev, out);
}

/* A sink that takes the parts away, and fails at the n-th call. */
struct taking {
	unsigned calls, fail;
	uint64_t bytes;
};

static int take_part(void *arg, const struct bundle_part *part, struct error *err)
{
	struct taking *t = arg;
	CLEANUP_FREE char *data = NULL;

	if (++t->calls == t->fail)
		return error_set(err, ERROR_IO, 5, "no room");
	assert_int_equal(part->index, t->calls - 1);
	t->bytes += part->data->len;
	data = buf_steal(part->data, err);
	assert_non_null(data);
	return 0;
}

static int take_manifest(void *arg, const char *name, const void *data, size_t len, struct error *err)
{
	struct taking *t = arg;

	assert_string_equal(name, "t.manifest.xml");
	assert_int_equal(strlen(data), len);
	return ++t->calls == t->fail ? error_set(err, ERROR_IO, 5, "no room") : 0;
}

static void test_sinks(void **state)
{
	const struct world *w = *state;
	struct dev *dev = make_dev(BIG, BIG);
	struct bundle_opts opts = opts_of(w);
	struct bundle_result result;

	for (unsigned fail = 0; fail <= 4; fail++) {
		struct taking t = {.fail = fail};
		struct bundle_sink sink = {take_part, take_manifest, &t};
		struct error err = ERROR_INIT;
		int ret = bundle_write(dev, &opts, &sink, &result, &err);

		assert_int_equal(ret, fail ? -1 : 0);
		assert_int_equal(t.calls, fail ? fail : 4);
		if (fail)
			assert_int_equal(err.kind, ERROR_IO);
		else
			assert_int_equal(t.bytes, result.bundled_size);
	}
	dev_close(dev, NULL);
}

static void test_devices_that_fail(void **state)
{
	const struct world *w = *state;
	struct dev *fault = faultdev_new(w->dev);
	struct bundle_opts opts = opts_of(w);
	struct bundle_result result;
	struct taking t = {0};
	struct bundle_sink sink = {take_part, take_manifest, &t};
	struct error err = ERROR_INIT;

	faultdev_fail(fault, FAULTDEV_PREAD, 1);
	assert_int_equal(bundle_write(fault, &opts, &sink, &result, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	dev_close(fault, NULL);
}

static void damage(struct buf *b, uint64_t *random)
{
	uint64_t where = next_random(random);

	switch (next_random(random) % 5) {
	case 0:
		buf_truncate(b, b->len ? where % b->len : 0);
		break;
	case 1:
		for (unsigned i = 0; i < 8 && b->len; i++)
			b->data[next_random(random) % b->len] = (char)next_random(random);
		break;
	case 2: /* a digit of a number is another one */
		for (size_t i = 0; i < b->len; i++) {
			char *c = &b->data[(where + i) % b->len];

			if (*c >= '0' && *c <= '9') {
				*c = (char)('0' + (*c - '0' + 1 + where % 8) % 10);
				break;
			}
		}
		break;
	case 3:
		assert_int_equal(buf_add(b, "more", 4, NULL), 0);
		break;
	default:
		if (b->len)
			b->data[where % b->len] ^= (char)(1u << (where >> 32) % 8);
	}
}

/* With the checks of signature and parts, and without them: then the stages behind must hold by themselves. */
static void test_damage(void **state)
{
	const struct world *w = *state;
	CLEANUP_FREE char *out = in(w, "image"), *part = in(w, "t.part.00");
	CLEANUP_FREE char *manifest = in(w, "t.manifest.xml");
	struct buf files[2] = {BUF_INIT(1 << 20), BUF_INIT(1 << 20)};
	const char *paths[2] = {part, manifest};
	struct bundle_result result;
	uint64_t random = 4711;
	unsigned errors = 0;

	make_bundle(w, w->dev, &result);
	assert_int_equal(file_read(part, &files[0], NULL), 0);
	assert_int_equal(file_read(manifest, &files[1], NULL), 0);
	for (unsigned i = 0; i < DAMAGES; i++) {
		CLEANUP_BUF struct buf b = BUF_INIT(1 << 20);
		struct error err = ERROR_INIT;
		int ret;

		assert_int_equal(buf_add(&b, files[i % 2].data, files[i % 2].len, NULL), 0);
		damage(&b, &random);
		assert_int_equal(file_write_atomic(paths[i % 2], b.data, b.len, 0644, false, NULL), 0);
		unlink(out);
		ret = unpack(w, out, i % 4 < 2, &err);
		if (ret < 0) {
			errors++;
			assert_true(err.kind == ERROR_INPUT || err.kind == ERROR_IO);
			assert_true(err.text[0] != '\0');
			assert_int_equal(access(out, F_OK), -1);
		} else {
			compare(w->dev, out);
		}
		assert_int_equal(file_write_atomic(paths[i % 2], files[i % 2].data, files[i % 2].len, 0644,
					 false, NULL), 0);
	}
	/* What is left is damage of what nobody reads, or none. */
	assert_true(errors > DAMAGES * 3 / 4);
	buf_release(&files[0]);
	buf_release(&files[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cipher_vector),
		cmocka_unit_test_setup_teardown(test_there_and_back, enter, leave),
		cmocka_unit_test_setup_teardown(test_sinks, enter, leave),
		cmocka_unit_test_setup_teardown(test_devices_that_fail, enter, leave),
		cmocka_unit_test_setup_teardown(test_damage, enter, leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
