/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, checksums, pax records and sparse maps of tar headers. */
#include "formats/tar_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/num.h"

enum { NUMBER_TEXT = 24, CHECKSUM_OFF = 148, CHECKSUM_LEN = 8 };

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERROR_INPUT, 0, "its tar archive has %s", what);
}

static int base_256(const uint8_t *field, size_t len, uint64_t *value, struct error *err)
{
	uint64_t v = field[0] & 0x7f;

	for (size_t i = 1; i < len; i++) {
		if (v >> 55)
			return damaged(err, "a number that is too large");
		v = v << 8 | field[i];
	}
	*value = v;
	return 0;
}

int tar_number(const uint8_t *field, size_t len, uint64_t *value, struct error *err)
{
	size_t i = 0;
	uint64_t v = 0;

	if (field[0] & 0x80)
		return base_256(field, len, value, err);
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(field[i] - '0');
	if (i < len && field[i] != ' ' && field[i] != '\0')
		return damaged(err, "a field that is no number");
	*value = v;
	return 0;
}

int tar_check_header(const uint8_t b[TAR_BLOCK], struct error *err)
{
	uint64_t want, sum = 0;

	if (tar_number(b + CHECKSUM_OFF, CHECKSUM_LEN, &want, err) < 0)
		return -1;
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += i >= CHECKSUM_OFF && i < CHECKSUM_OFF + CHECKSUM_LEN ? ' ' : b[i];
	return sum == want ? 0 : damaged(err, "a header with a wrong checksum");
}

int tar_map_add(struct tar_map *m, uint64_t off, uint64_t len, struct error *err)
{
	const struct tar_piece *last = m->nr ? &m->pieces[m->nr - 1] : NULL;
	uint64_t end;

	if (num_add(off, len, &end) || (last && off < last->off + last->len))
		return damaged(err, "a sparse map out of order");
	if (!len)
		return 0;
	if (m->nr == TAR_PIECES_MAX)
		return damaged(err, "a sparse map of too many pieces");
	if (ARRAY_GROW(m->pieces, m->nr + 1, m->alloc, "a sparse map", err) < 0)
		return -1;
	m->pieces[m->nr++] = (struct tar_piece){off, len};
	return 0;
}

int tar_map_add_old(struct tar_map *m, const uint8_t *e, size_t nr, struct error *err)
{
	for (size_t i = 0; i < nr && e[24 * i]; i++) {
		uint64_t off, len;

		if (tar_number(e + 24 * i, 12, &off, err) < 0 ||
			tar_number(e + 24 * i + 12, 12, &len, err) < 0 ||
			tar_map_add(m, off, len, err) < 0)
			return -1;
	}
	return 0;
}

/* Decimal digits and nothing else. */
static int decimal(const char *text, size_t len, uint64_t *value, struct error *err)
{
	char digits[NUMBER_TEXT];

	if (!len || len >= sizeof(digits) || strspn(text, "0123456789") < len)
		return damaged(err, "an extended header that is no number");
	memcpy(digits, text, len);
	digits[len] = '\0';
	return num_parse(digits, UINT64_MAX, value, NULL) < 0 ?
		damaged(err, "an extended header with too large a number") : 0;
}

/* "off,len,off,len" of pax format 0.1. */
static int read_map(struct tar_map *m, const char *text, size_t len, struct error *err)
{
	uint64_t pair[2];
	unsigned have = 0;
	const char *end = text + len;

	while (text < end) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		const char *stop = comma ? comma : end;

		if (decimal(text, (size_t)(stop - text), &pair[have++], err) < 0)
			return -1;
		if (have == 2 && tar_map_add(m, pair[0], pair[1], err) < 0)
			return -1;
		have %= 2;
		text = stop + 1;
	}
	return have ? damaged(err, "a sparse map that ends too soon") : 0;
}

static bool is_key(const char *key, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(key, name, len) == 0;
}

static int read_record(struct tar_pax *p, struct tar_map *m, const char *key, size_t key_len,
	const char *value, size_t len, struct error *err)
{
	uint64_t n;

	if (is_key(key, key_len, "size")) {
		p->has_size = true;
		return decimal(value, len, &p->size, err);
	}
	if (is_key(key, key_len, "path")) {
		p->path = value;
		p->path_len = len;
		return 0;
	}
	if (is_key(key, key_len, "GNU.sparse.realsize") || is_key(key, key_len, "GNU.sparse.size")) {
		p->has_real_size = true;
		return decimal(value, len, &p->real_size, err);
	}
	if (is_key(key, key_len, "GNU.sparse.major")) {
		p->sparse_1_0 = len == 1 && *value == '1';
		return len == 1 && (*value == '0' || *value == '1') ?
			0 : damaged(err, "a sparse format that is not known");
	}
	if (is_key(key, key_len, "GNU.sparse.map")) {
		p->map_given = true;
		return read_map(m, value, len, err);
	}
	if (is_key(key, key_len, "GNU.sparse.offset"))
		return decimal(value, len, &p->off, err);
	if (is_key(key, key_len, "GNU.sparse.numbytes")) {
		p->map_given = true;
		return decimal(value, len, &n, err) < 0 ? -1 : tar_map_add(m, p->off, n, err);
	}
	return 0;
}

/* "LENGTH KEY=VALUE\n", the length being that of all of it. */
int tar_pax_read(struct tar_pax *p, struct tar_map *m, const char *text, size_t len, struct error *err)
{
	while (len) {
		const char *space = memchr(text, ' ', len), *equal;
		uint64_t total;

		if (!space || decimal(text, (size_t)(space - text), &total, err) < 0)
			return damaged(err, "a damaged extended header");
		if (total > len || total < (size_t)(space - text) + 2 || text[total - 1] != '\n')
			return damaged(err, "a damaged extended header");
		equal = memchr(space + 1, '=', (size_t)(text + total - 1 - (space + 1)));
		if (!equal)
			return damaged(err, "a damaged extended header");
		if (read_record(p, m, space + 1, (size_t)(equal - space - 1), equal + 1,
			    (size_t)(text + total - 1 - (equal + 1)), err) < 0)
			return -1;
		text += total;
		len -= (size_t)total;
	}
	return 0;
}
