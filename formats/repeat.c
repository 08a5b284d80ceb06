/* SPDX-License-Identifier: Apache-2.0 */
/* One candidate is enough: who compresses in pieces makes them of one size. */
#include "formats/repeat.h"

#include <string.h>

#include "base/num.h"
#include "base/zero.h"

void repeat_in(struct repeat *r, const void *data, size_t len)
{
	if (len > REPEAT_MAX || r->now_len > REPEAT_MAX - len) {
		r->now_len = REPEAT_MAX + 1;
		return;
	}
	memcpy(r->now + r->now_len, data, len);
	r->now_len += len;
}

void repeat_out(struct repeat *r, const void *data, size_t len)
{
	r->other = r->other || !zero_all(data, len);
	r->made += len;
}

void repeat_end(struct repeat *r)
{
	if (r->now_len <= REPEAT_MAX && !r->other && r->made) {
		memcpy(r->known, r->now, r->now_len);
		r->known_len = r->now_len;
		r->zeros = r->made;
	}
	r->now_len = 0;
	r->made = 0;
	r->other = false;
}

/*
 * How many of the len bytes are the known member's, going on where the last call stopped. When all of it was there,
 * *zeros is what it stands for; else 0.
 */
static size_t match(struct repeat *r, const void *data, size_t len, uint64_t *zeros)
{
	const uint8_t *p = data;
	size_t most = MIN(len, r->known_len - r->matched), n = 0;

	*zeros = 0;
	if (most && !memcmp(p, r->known + r->matched, most))
		n = most;
	while (n < most && p[n] == r->known[r->matched + n])
		n++;
	r->matched += n;
	if (r->known_len && r->matched == r->known_len) {
		r->matched = 0;
		*zeros = r->zeros;
	}
	return n;
}

int repeat_pass(struct repeat *r, const uint8_t **p, size_t *len, size_t *again, repeat_zeros_fn zeros, void *arg,
	struct error *err)
{
	uint64_t made;

	*again = 0;
	do {
		size_t n = match(r, *p, *len, &made);

		*p += n;
		*len -= n;
		if (made && zeros(arg, made, err) < 0)
			return -1;
	} while (made && *len);
	if (*len) {
		*again = r->matched;
		r->matched = 0;
	}
	return 0;
}
