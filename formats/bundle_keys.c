/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key material of a bundle. Key and IV are written as hex digits, and these 32 characters are what
 * RSA encrypts, once for EC2 and once for the user. All random values come from one seed by
 * HMAC-SHA-256 in counter mode (as HKDF-Expand does, RFC 5869), so that a test can fix them.
 */
#include "formats/bundle_internal.h"

#include <string.h>

#include "base/num.h"

enum { HEX_SIZE = 2 * CRYPTO_AES_SIZE };

/* A stream of bytes for one use. */
struct stream {
	const uint8_t *seed;
	const char *use;
	uint32_t counter;
};

static int fill(void *arg, uint8_t *out, size_t len, struct error *err)
{
	struct stream *s = arg;
	uint8_t message[64], digest[SHA256_SIZE];
	size_t used = strlen(s->use);

	memcpy(message, s->use, used);
	while (len) {
		size_t step = MIN(len, sizeof(digest));

		num_put_le32(message + used, s->counter++);
		if (hmac_sha256(s->seed, BUNDLE_SEED_SIZE, message, used + 4, digest, err) < 0) {
			crypto_wipe(digest, sizeof(digest));
			return -1;
		}
		memcpy(out, digest, step);
		out += step;
		len -= step;
	}
	crypto_wipe(digest, sizeof(digest));
	return 0;
}

static int wrap(const struct crypto_certificate *c, const uint8_t secret[CRYPTO_AES_SIZE],
	const uint8_t *seed, const char *use, struct buf *out, struct error *err)
{
	struct stream padding = {.seed = seed, .use = use};
	char hex[HEX_SIZE + 1];
	int ret;

	hex_encode(hex, secret, CRYPTO_AES_SIZE);
	buf_init(out, CRYPTO_RSA_MAX);
	ret = crypto_rsa_encrypt(c, hex, HEX_SIZE, fill, &padding, out, err);
	crypto_wipe(hex, sizeof(hex));
	return ret;
}

int bundle_keys_make(struct bundle_keys *k, const struct bundle_opts *o, struct error *err)
{
	struct stream key = {.seed = o->seed, .use = "bundle key"};
	struct stream iv = {.seed = o->seed, .use = "bundle iv"};

	memset(k, 0, sizeof(*k));
	if (fill(&key, k->key, sizeof(k->key), err) < 0 || fill(&iv, k->iv, sizeof(k->iv), err) < 0)
		return -1;
	if (wrap(o->ec2_certificate, k->key, o->seed, "bundle ec2 key", &k->ec2_key, err) < 0 ||
		wrap(o->ec2_certificate, k->iv, o->seed, "bundle ec2 iv", &k->ec2_iv, err) < 0 ||
		wrap(o->certificate, k->key, o->seed, "bundle user key", &k->user_key, err) < 0 ||
		wrap(o->certificate, k->iv, o->seed, "bundle user iv", &k->user_iv, err) < 0)
		return -1;
	return 0;
}

void bundle_keys_release(struct bundle_keys *k)
{
	crypto_wipe(k->key, sizeof(k->key));
	crypto_wipe(k->iv, sizeof(k->iv));
	buf_release(&k->ec2_key);
	buf_release(&k->ec2_iv);
	buf_release(&k->user_key);
	buf_release(&k->user_iv);
}
