/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole pages are read into a buffer of the call's own, so that many threads can read. An encrypted page is
 * never all zeros but by a chance of 1 in 2^32768: zeros are a hole, and mean zeros.
 */
#include "base/sealed.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto_cipher.h"
#include "base/num.h"
#include "base/zero.h"

enum { BUFFER = 256 << 10 };

struct sealed {
	struct dev dev;
	struct dev *inner;
	uint8_t key[CRYPTO_PAGES_KEY];
};

/* Pages from at on that hold something, in one piece: a cipher is set up once for them. */
static size_t run_of_data(const uint8_t *pages, size_t at, size_t len)
{
	size_t run = 0;

	while (at + run < len && !zero_all(pages + at + run, CRYPTO_PAGE))
		run += CRYPTO_PAGE;
	return run;
}

static int unseal(const struct sealed *s, uint8_t *pages, size_t len, uint64_t off, struct error *err)
{
	for (size_t at = 0, run; at < len; at += run ? run : CRYPTO_PAGE) {
		run = run_of_data(pages, at, len);
		if (run && crypto_pages(false, s->key, (off + at) / CRYPTO_PAGE, pages + at, run, err) < 0)
			return -1;
	}
	return 0;
}

static int sealed_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct sealed *s = (struct sealed *)dev;
	uint8_t *pages = malloc(BUFFER), *out = buf;
	int ret = pages ? 0 : error_nomem(err, "pages of a temporary file");

	while (len && !ret) {
		size_t head = (size_t)(off % CRYPTO_PAGE), step = MIN(len, BUFFER - head);
		size_t whole = (size_t)num_align(head + step, CRYPTO_PAGE);

		ret = dev_pread(s->inner, pages, whole, off - head, err);
		if (!ret)
			ret = unseal(s, pages, whole, off - head, err);
		if (!ret)
			memcpy(out, pages + head, step);
		out += step;
		off += step;
		len -= step;
	}
	if (pages)
		crypto_wipe(pages, BUFFER);
	free(pages);
	return ret;
}

static int sealed_extents(
	struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list, struct error *err)
{
	return dev_extents(((struct sealed *)dev)->inner, off, len, list, err);
}

static int sealed_close(struct dev *dev, struct error *err)
{
	struct sealed *s = (struct sealed *)dev;
	int ret = dev_close(s->inner, err);

	crypto_wipe(s->key, sizeof(s->key));
	free(s);
	return ret;
}

static const struct dev_ops sealed_ops = {
	.name = "sealed", .pread = sealed_pread, .extents = sealed_extents, .close = sealed_close};

struct dev *sealed_open(struct dev *inner, uint64_t size, const uint8_t key[CRYPTO_PAGES_KEY], struct error *err)
{
	struct sealed *s = calloc(1, sizeof(*s));

	if (!s) {
		dev_close(inner, NULL);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a device");
	}
	s->dev = (struct dev){.ops = &sealed_ops, .size = size};
	s->inner = inner;
	memcpy(s->key, key, sizeof(s->key));
	return &s->dev;
}
