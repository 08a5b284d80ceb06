/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One compressed piece of an initrd, unpacked by libarchive's raw reader with just the filter that
 * the first bytes ask for. What follows the piece is the caller's again, so its end must be known
 * to the byte: libarchive's filters say how much they took, except for those of zstd, xz and
 * old lz4, which take what follows for damage. There the end is found beforehand.
 */
#include "fs/initrd_internal.h"

#include <errno.h>
#include <locale.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/num.h"

struct initrd_unpacker {
	struct archive *archive;
	struct initrd_stream packed;
	const char *compression;
	uint64_t start;
	uint64_t *unpacked; /* of the whole initrd */
	struct error err; /* of reading the input, from inside the callback */
};

static const struct {
	const char *name;
	uint8_t len;
	uint8_t magic[6];
	int (*support)(struct archive *a);
} compressions[] = {
	{"gzip", 2, {0x1f, 0x8b}, archive_read_support_filter_gzip},
	{"bzip2", 3, {'B', 'Z', 'h'}, archive_read_support_filter_bzip2},
	{"xz", 6, {0xfd, '7', 'z', 'X', 'Z', 0}, archive_read_support_filter_xz},
	{"zstd", 4, {0x28, 0xb5, 0x2f, 0xfd}, archive_read_support_filter_zstd},
	{INITRD_OLD_LZ4, 4, {0x02, 0x21, 0x4c, 0x18}, archive_read_support_filter_lz4},
	{"lz4", 4, {0x04, 0x22, 0x4d, 0x18}, archive_read_support_filter_lz4},
	{"lzma", 3, {0x5d, 0, 0}, archive_read_support_filter_lzma},
	/* libarchive would run a program for it. */
	{"lzop", 4, {0x89, 'L', 'Z', 'O'}, NULL},
};

static size_t index_of(const uint8_t at[8])
{
	size_t i = 0;

	while (i < ARRAY_SIZE(compressions) && memcmp(at, compressions[i].magic, compressions[i].len))
		i++;
	return i;
}

const char *initrd_compression(const uint8_t at[8])
{
	size_t i = index_of(at);

	return i < ARRAY_SIZE(compressions) ? compressions[i].name : NULL;
}

static la_ssize_t read_packed(struct archive *a, void *arg, const void **data)
{
	struct initrd_unpacker *u = arg;
	size_t len;

	u->packed.at = u->packed.len;
	if (initrd_stream_fill(&u->packed, &u->err) < 0) {
		archive_set_error(a, EIO, "%s", u->err.text);
		return -1;
	}
	len = u->packed.len - u->packed.at;
	*data = u->packed.data;
	return (la_ssize_t)len;
}

static int damaged(const struct initrd_unpacker *u, struct error *err)
{
	const char *why = archive_error_string(u->archive);

	if (u->err.kind != ERROR_NONE) {
		if (err)
			*err = u->err;
		return -1;
	}
	if (archive_errno(u->archive) == ENOMEM)
		return error_nomem(err, "an initrd");
	return error_set(err, ERROR_INPUT, 0,
		"the initrd '%s' is damaged: its %s data at byte %llu cannot be unpacked: %s",
		u->packed.in->name, u->compression, (unsigned long long)u->start,
		why ? why : "no reason given");
}

static int open_packed(struct initrd_unpacker *u, int (*support)(struct archive *), struct error *err)
{
	struct archive_entry *entry;
	int r;

	u->archive = archive_read_new();
	if (!u->archive || archive_read_support_format_raw(u->archive) != ARCHIVE_OK)
		return error_nomem(err, "an initrd");
	if (support(u->archive) != ARCHIVE_OK)
		return error_set(err, ERROR_INPUT, ENOTSUP,
			"cannot look into the initrd '%s': this libarchive does not unpack %s",
			u->packed.in->name, u->compression);
	archive_read_set_read_callback(u->archive, read_packed);
	archive_read_set_callback_data(u->archive, u);
	r = archive_read_open1(u->archive);
	if (r == ARCHIVE_OK)
		r = archive_read_next_header(u->archive, &entry);
	/* The raw reader says of nothing at all that there is no entry. */
	return r == ARCHIVE_OK || r == ARCHIVE_EOF ? 0 : damaged(u, err);
}

struct initrd_unpacker *initrd_unpacker_new(const struct initrd_input *in, uint64_t pos,
	const char *compression, uint64_t *unpacked, struct error *err)
{
	CLEANUP(initrd_unpacker_cleanup) struct initrd_unpacker *u = calloc(1, sizeof(*u));
	uint64_t end = in->size;
	size_t i = 0;

	if (!u)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an initrd");
	while (strcmp(compressions[i].name, compression))
		i++;
	if (!compressions[i].support)
		return error_null(err, ERROR_INPUT, ENOTSUP,
			"cannot look into the initrd '%s', which is compressed by %s", in->name,
			compression);
	initrd_stream_init(&u->packed, in, pos, end);
	if (initrd_find_end(&u->packed, compression, &end, err) < 0)
		return NULL;
	initrd_stream_init(&u->packed, in, pos, end);
	u->compression = compression;
	u->start = pos;
	u->unpacked = unpacked;
	if (open_packed(u, compressions[i].support, err) < 0)
		return NULL;
	return steal_ptr(&u);
}

void initrd_unpacker_free(struct initrd_unpacker *u)
{
	if (!u)
		return;
	archive_read_free(u->archive);
	free(u);
}

int initrd_unpacker_read(struct initrd_unpacker *u, const uint8_t **data, size_t *len,
	struct error *err)
{
	const void *block = NULL;
	la_int64_t off;
	int r;

	*len = 0;
	do {
		r = archive_read_data_block(u->archive, &block, len, &off);
	} while (r == ARCHIVE_OK && !*len);
	if (r == ARCHIVE_EOF) {
		*len = 0;
		return 0;
	}
	if (r != ARCHIVE_OK)
		return damaged(u, err);
	*u->unpacked += *len;
	if (*u->unpacked > INITRD_BYTES_MAX)
		return error_set(err, ERROR_INPUT, 0, "the initrd '%s' unpacks to more than 2 GiB",
			u->packed.in->name);
	*data = block;
	return 0;
}

uint64_t initrd_unpacker_end(const struct initrd_unpacker *u)
{
	la_int64_t took = archive_filter_bytes(u->archive, -1);

	/* The end was found beforehand; and a filter that took nothing must not hold us here for ever. */
	if (u->packed.end < u->packed.in->size || took <= 0)
		return u->packed.end;
	return MIN(u->start + (uint64_t)took, u->packed.end);
}
