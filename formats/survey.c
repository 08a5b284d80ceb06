/* SPDX-License-Identifier: Apache-2.0 */
/* Workers look at 1 MiB or more at a time; the owner gathers bits and numbers in order. */
#include "formats/survey.h"

#include <stdlib.h>

#include "base/num.h"
#include "base/zero.h"
#include "formats/chunks.h"
#include "formats/deflate.h"

struct pass {
	struct survey *s;
	struct sha256 *hash;
};

/* Out of a chunk come records of index and CRC-32, as they go into the hash. */
enum { RECORD = 8 + 4 };

static int look(struct chunk *c, void *arg, struct error *err)
{
	const struct survey *s = ((struct pass *)arg)->s;

	for (size_t off = 0; off < c->len; off += s->unit) {
		const uint8_t *unit = c->data + off;
		uint8_t record[RECORD];

		if (zero_all(unit, s->unit))
			continue;
		num_put_le64(record, (c->off + off) / s->unit);
		num_put_le32(record + 8, deflate_crc32(0, unit, s->unit));
		if (buf_add(&c->out, record, sizeof(record), err) < 0)
			return -1;
	}
	return 0;
}

static int gather(struct chunk *c, void *arg, struct error *err)
{
	struct pass *p = arg;
	const uint8_t *out = (const uint8_t *)c->out.data;

	for (size_t at = 0; at < c->out.len; at += RECORD) {
		uint64_t index = num_get_le64(out + at);

		p->s->bits[index / 8] |= (uint8_t)(1u << index % 8);
		p->s->nr_data++;
	}
	return c->out.len ? sha256_update(p->hash, out, c->out.len, err) : 0;
}

static int run(struct pass *p, struct dev *dev, const struct survey_opts *opts, struct error *err)
{
	static const char head[] = "amiwright survey 1\n";
	const struct chunks_opts chunks = {
		.size = MAX(p->s->unit, MIB),
		.workers = opts->workers,
		.what = "looking through the disk",
		.cancelled = opts->cancelled,
		.work = look,
		.emit = gather,
		.arg = p,
	};
	uint8_t sizes[16];

	num_put_le64(sizes, dev->size);
	num_put_le64(sizes + 8, p->s->unit);
	if (sha256_update(p->hash, head, sizeof(head) - 1, err) < 0 ||
		sha256_update(p->hash, sizes, sizeof(sizes), err) < 0 ||
		chunks_run(dev, &chunks, err) < 0)
		return -1;
	return sha256_final(p->hash, p->s->id, err);
}

int survey_make(struct survey *s, struct dev *dev, uint64_t unit, const struct survey_opts *opts,
	struct error *err)
{
	struct pass p = {.s = s};
	int ret;

	*s = (struct survey){.unit = unit, .nr_units = num_div_up(dev->size, unit)};
	s->bits = calloc(1, (size_t)(s->nr_units / 8 + 1));
	if (!s->bits)
		return error_nomem(err, "a map of the disk");
	p.hash = sha256_new(err);
	ret = p.hash ? run(&p, dev, opts, err) : -1;
	sha256_free(p.hash);
	return ret;
}

void survey_release(struct survey *s)
{
	free(s->bits);
	s->bits = NULL;
}

bool survey_has(const struct survey *s, uint64_t index)
{
	return s->bits[index / 8] >> index % 8 & 1;
}
