/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a tar stream:
 *
 *   HEADER ─▶ EXTENDED (pax records) ─▶ HEADER
 *          ─▶ SKIP (long names, global records) ─▶ HEADER
 *          ─▶ OLD_MAP (more entries of an old sparse map) ─┐
 *          ─▶ NEW_MAP (sparse map before the data)        ─┴▶ DATA ─▶ PADDING ─▶ END
 *
 * Headers and maps are gathered to whole blocks; data goes to the sink as it comes.
 */
#include "formats/unbundle_tar.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/zero.h"
#include "formats/tar_read.h"

/* All that is no data: a map of TAR_PIECES_MAX pieces and a tape's padding are less. */
enum { PAX_MAX = 16 << 20, NUMBER_MAX = 20, OVERHEAD_MAX = 256 << 20 };

enum state { HEADER, EXTENDED, SKIP, OLD_MAP, NEW_MAP, DATA, PADDING, END };

struct unbundle_tar {
	uint64_t size;
	unbundle_tar_fn sink;
	void *arg;
	enum state state;
	uint8_t block[TAR_BLOCK]; /* being gathered */
	size_t gathered;
	uint64_t overhead; /* bytes of all states but DATA */
	uint64_t left;     /* bytes of this state: records, data, padding */
	uint64_t stored;   /* bytes of the member that are in the archive, its map too */
	uint64_t real;     /* bytes of the file */
	struct tar_pax pax;
	struct buf records;
	struct tar_map map;
	size_t piece;      /* that is being read */
	uint64_t piece_at; /* bytes of it that have been */
	uint64_t at;       /* bytes of the file that the sink has got */
	/* NEW_MAP: numbers still to come; UINT64_MAX: how many is the first one */
	uint64_t numbers;
	uint64_t number, pair_off;
	unsigned digits;
	bool second;
};

static int damaged(struct error *err, const char *what)
{
	return error_set(err, ERROR_INPUT, 0, "its tar archive %s", what);
}

struct unbundle_tar *unbundle_tar_new(uint64_t size, unbundle_tar_fn sink, void *arg, struct error *err)
{
	struct unbundle_tar *t = calloc(1, sizeof(*t));

	if (!t)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a tar archive");
	t->size = size;
	t->sink = sink;
	t->arg = arg;
	buf_init(&t->records, PAX_MAX);
	return t;
}

void unbundle_tar_free(struct unbundle_tar *t)
{
	if (!t)
		return;
	buf_release(&t->records);
	free(t->map.pieces);
	free(t);
}

static int send(struct unbundle_tar *t, const void *data, uint64_t len, struct error *err)
{
	t->at += len;
	return len ? t->sink(t->arg, data, len, err) : 0;
}

/* Goes to data once the map is whole: its pieces must lie in the file and be what is stored. */
static int begin_data(struct unbundle_tar *t, struct error *err)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < t->map.nr; i++)
		sum += t->map.pieces[i].len;
	if (t->real != t->size)
		return error_set(err, ERROR_INPUT, 0,
			"its tar archive has a file of %llu bytes; the manifest says %llu",
			(unsigned long long)t->real, (unsigned long long)t->size);
	if (t->map.nr && (t->map.pieces[t->map.nr - 1].off + t->map.pieces[t->map.nr - 1].len > t->real))
		return damaged(err, "has a sparse map that goes beyond its file");
	if (sum != t->stored)
		return damaged(err, "has a sparse map that does not fit its data");
	t->state = DATA;
	t->left = sum;
	return 0;
}

/* The member's own header, with what pax records have said before it. */
static int begin_member(struct unbundle_tar *t, uint64_t size, struct error *err)
{
	const uint8_t *b = t->block;

	t->stored = t->pax.has_size ? t->pax.size : size;
	t->real = t->pax.has_real_size ? t->pax.real_size : t->stored;
	if (b[156] == 'S') {
		if (tar_number(b + 483, 12, &t->real, err) < 0 ||
			tar_map_add_old(&t->map, b + 386, TAR_SPARSE_IN_HEADER, err) < 0)
			return -1;
		if (b[482]) {
			t->state = OLD_MAP;
			return 0;
		}
		return begin_data(t, err);
	}
	if (t->pax.sparse_1_0) {
		t->state = NEW_MAP;
		t->numbers = UINT64_MAX;
		return 0;
	}
	/* A sparse file without any data has an empty map. */
	if (!t->pax.map_given && tar_map_add(&t->map, 0, t->real, err) < 0)
		return -1;
	return begin_data(t, err);
}

static int begin_extended(struct unbundle_tar *t, uint64_t size, struct error *err)
{
	if (size > PAX_MAX)
		return damaged(err, "has an extended header that is too large");
	t->state = EXTENDED;
	t->left = num_align(size, TAR_BLOCK);
	t->stored = size;
	buf_clear(&t->records);
	return 0;
}

static int skip(struct unbundle_tar *t, uint64_t size, struct error *err)
{
	if (size > PAX_MAX)
		return damaged(err, "has an extended header that is too large");
	t->left = num_align(size, TAR_BLOCK);
	t->state = t->left ? SKIP : HEADER;
	return 0;
}

static int read_header(struct unbundle_tar *t, struct error *err)
{
	uint64_t size;

	if (tar_check_header(t->block, err) < 0 || tar_number(t->block + 124, 12, &size, err) < 0)
		return -1;
	switch (t->block[156]) {
	case 'x':
		return begin_extended(t, size, err);
	case 'g':
	case 'L':
	case 'K':
		return skip(t, size, err);
	case '0':
	case '\0':
	case '7':
	case 'S':
		return begin_member(t, size, err);
	default:
		return damaged(err, "begins with something else than a file");
	}
}

static int read_old_map(struct unbundle_tar *t, struct error *err)
{
	if (tar_map_add_old(&t->map, t->block, TAR_SPARSE_IN_BLOCK, err) < 0)
		return -1;
	return t->block[504] ? 0 : begin_data(t, err);
}

/* A number of the map before the data: first how many pieces, then offset and length of each. */
static int end_number(struct unbundle_tar *t, struct error *err)
{
	if (!t->digits)
		return damaged(err, "has a damaged sparse map");
	t->digits = 0;
	if (t->numbers == UINT64_MAX) {
		if (t->number > TAR_PIECES_MAX)
			return damaged(err, "has a sparse map of too many pieces");
		t->numbers = 2 * t->number;
	} else {
		t->numbers--;
		if (t->second && tar_map_add(&t->map, t->pair_off, t->number, err) < 0)
			return -1;
		t->pair_off = t->number;
		t->second = !t->second;
	}
	t->number = 0;
	return 0;
}

static int read_new_map(struct unbundle_tar *t, struct error *err)
{
	if (t->stored < TAR_BLOCK)
		return damaged(err, "has a sparse map that does not end");
	t->stored -= TAR_BLOCK;
	for (size_t i = 0; i < TAR_BLOCK && t->numbers; i++) {
		uint8_t c = t->block[i];

		if (c == '\n') {
			if (end_number(t, err) < 0)
				return -1;
		} else if (c >= '0' && c <= '9' && ++t->digits < NUMBER_MAX) {
			t->number = 10 * t->number + (c - '0');
		} else {
			return damaged(err, "has a damaged sparse map");
		}
	}
	return t->numbers ? 0 : begin_data(t, err);
}

static int read_block(struct unbundle_tar *t, struct error *err)
{
	switch (t->state) {
	case HEADER:
		return read_header(t, err);
	case OLD_MAP:
		return read_old_map(t, err);
	case NEW_MAP:
		return read_new_map(t, err);
	default:
		return error_set(err, ERROR_BUG, 0, "a tar archive in a wrong state");
	}
}

static int read_data(struct unbundle_tar *t, const uint8_t *data, size_t len, struct error *err)
{
	while (len) {
		const struct tar_piece *p = &t->map.pieces[t->piece];
		size_t step = (size_t)MIN((uint64_t)len, p->len - t->piece_at);

		if (send(t, NULL, p->off + t->piece_at - t->at, err) < 0 || send(t, data, step, err) < 0)
			return -1;
		data += step;
		len -= step;
		t->piece_at += step;
		if (t->piece_at == p->len) {
			t->piece++;
			t->piece_at = 0;
		}
	}
	return 0;
}

/* Whatever is over when nothing is left of a state. */
static int end_state(struct unbundle_tar *t, struct error *err)
{
	switch (t->state) {
	case EXTENDED:
		t->state = HEADER;
		return tar_pax_read(&t->pax, &t->map, buf_str(&t->records), (size_t)t->stored, err);
	case SKIP:
		t->state = HEADER;
		return 0;
	case DATA:
		t->state = PADDING;
		t->left = -t->stored & (TAR_BLOCK - 1);
		return send(t, NULL, t->real - t->at, err);
	case PADDING:
		t->state = END;
		return 0;
	default:
		return 0;
	}
}

static bool gathers(const struct unbundle_tar *t)
{
	return t->state == HEADER || t->state == OLD_MAP || t->state == NEW_MAP;
}

/* Some bytes, at least one. */
static int push(struct unbundle_tar *t, const uint8_t *data, size_t len, size_t *used, struct error *err)
{
	int ret = 0;

	if (gathers(t)) {
		*used = MIN(len, TAR_BLOCK - t->gathered);
		memcpy(t->block + t->gathered, data, *used);
		t->gathered += *used;
		if (t->gathered < TAR_BLOCK)
			return 0;
		t->gathered = 0;
		return read_block(t, err);
	}
	*used = t->state == END ? len : (size_t)MIN((uint64_t)len, t->left);
	t->left -= t->state == END ? 0 : *used;
	if (t->state == EXTENDED)
		ret = buf_add(&t->records, data, *used, err);
	else if (t->state == DATA)
		ret = read_data(t, data, *used, err);
	else if (t->state == END && !zero_all(data, len))
		ret = damaged(err, "has more than one file");
	return ret;
}

int unbundle_tar_push(struct unbundle_tar *t, const void *data, size_t len, struct error *err)
{
	const uint8_t *at = data;

	while (len) {
		bool overhead = t->state != DATA;
		size_t used = 0;

		if (push(t, at, len, &used, err) < 0)
			return -1;
		t->overhead += overhead ? used : 0;
		if (t->overhead > OVERHEAD_MAX)
			return damaged(err, "has more around its file than any has");
		at += used;
		len -= used;
		while (!gathers(t) && t->state != END && !t->left)
			if (end_state(t, err) < 0)
				return -1;
	}
	return 0;
}

int unbundle_tar_end(struct unbundle_tar *t, struct error *err)
{
	return t->state == END || t->state == PADDING ? 0 : damaged(err, "ends too soon");
}
