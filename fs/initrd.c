/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The archives of an initrd, and the entries of each. A newc entry:
 *
 *   magic "070701" │ 13 numbers of 8 hex digits │ name, NUL │ pad to 4 │ content │ pad to 4
 *
 * The numbers: ino, mode, uid, gid, nlink, mtime, size, devmajor, devminor, rdevmajor, rdevminor,
 * namesize (with its NUL), check. An entry called TRAILER!!! ends an archive. Paddings count from
 * the entry's start: that is at a multiple of 4.
 */
#include "fs/initrd.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "fs/initrd_internal.h"

enum { HEADER = 110, MODE = 1, SIZE = 6, NAME_SIZE = 11, NAME_MAX_SIZE = 4096 };

struct walk {
	const struct initrd_input *in;
	initrd_fn fn;
	void *arg;
	unsigned names;
	uint64_t unpacked;
	char name[NAME_MAX_SIZE + 4];
};

static int damaged(const struct walk *w, const char *why, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "the initrd '%s' is damaged: %s", w->in->name, why);
}

/* Field number i of a header; UINT32_MAX and false when it is no number. */
static bool field(const uint8_t *header, unsigned i, uint32_t *out)
{
	uint32_t v = 0;

	for (unsigned k = 0; k < 8; k++) {
		int digit = hex_digit((char)header[6 + 8 * i + k]);

		if (digit < 0)
			return false;
		v = v << 4 | (uint32_t)digit;
	}
	*out = v;
	return true;
}

static bool is_cpio(const uint8_t *at)
{
	return !memcmp(at, "070701", 6) || !memcmp(at, "070702", 6);
}

static const char *relative(const char *path)
{
	for (;;) {
		if (path[0] == '/')
			path++;
		else if (path[0] == '.' && path[1] == '/')
			path += 2;
		else
			return path[0] == '.' && !path[1] ? "" : path;
	}
}

/* Reads the name and the zeros that fill up to a multiple of 4. */
static int read_name(struct walk *w, struct initrd_stream *s, uint32_t size, struct error *err)
{
	size_t whole = num_align(HEADER + (uint64_t)size, 4) - HEADER, got;

	if (!size || size > NAME_MAX_SIZE)
		return damaged(w, "an entry's name has an impossible length", err);
	if (initrd_stream_read(s, w->name, whole, &got, err) < 0)
		return -1;
	if (got < size)
		return initrd_cut_off(w->in, err);
	if (w->name[size - 1])
		return damaged(w, "an entry's name has no end", err);
	return 0;
}

/* One entry. *more is false behind the last of an archive. */
static int walk_entry(struct walk *w, struct initrd_stream *s, bool *more, struct error *err)
{
	uint8_t header[HEADER];
	uint32_t mode, size, name_size;
	size_t got;

	*more = false;
	if (initrd_stream_read(s, header, HEADER, &got, err) < 0 || !got)
		return got ? -1 : 0;
	if (got < HEADER)
		return initrd_cut_off(w->in, err);
	if (!is_cpio(header) || !field(header, MODE, &mode) || !field(header, SIZE, &size) ||
		!field(header, NAME_SIZE, &name_size))
		return damaged(w, "there is no cpio header of the newc form where one must be", err);
	if (read_name(w, s, name_size, err) < 0)
		return -1;
	if (!strcmp(w->name, "TRAILER!!!"))
		return initrd_stream_skip(s, size, err);
	if (++w->names > INITRD_NAMES_MAX)
		return error_set(err, ERROR_INPUT, 0, "the initrd '%s' has more than %d entries",
			w->in->name, INITRD_NAMES_MAX);
	*more = true;
	if (w->fn(w->arg, relative(w->name), mode, err) < 0)
		return -1;
	return initrd_stream_skip(s, num_align(size, 4), err);
}

static int walk_archive(struct walk *w, struct initrd_stream *s, struct error *err)
{
	bool more = true;

	while (more)
		if (walk_entry(w, s, &more, err) < 0)
			return -1;
	return 0;
}

/* All archives that come out of one decompressor: several may have been packed as one. */
static int walk_packed(struct walk *w, struct initrd_stream *s, const char *compression,
	uint64_t *pos, struct error *err)
{
	CLEANUP(initrd_unpacker_cleanup) struct initrd_unpacker *u = initrd_unpacker_new(w->in, *pos,
		compression, &w->unpacked, err);

	if (!u)
		return -1;
	initrd_stream_init(s, w->in, 0, 0);
	s->unpacker = u;
	for (;;) {
		if (initrd_stream_skip_zeros(s, err) < 0)
			return -1;
		if (s->at == s->len)
			break;
		if (walk_archive(w, s, err) < 0)
			return -1;
	}
	*pos = initrd_unpacker_end(u);
	return 0;
}

static int unknown(const struct walk *w, const uint8_t *at, uint64_t pos, struct error *err)
{
	if (!memcmp(at, "070707", 6))
		return error_set(err, ERROR_INPUT, 0,
			"the initrd '%s' is a cpio archive of the old form, which the kernel does not "
			"take: pack it by 'cpio -H newc'", w->in->name);
	if (!pos)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is no initrd: it begins neither with a cpio archive nor with a compression "
			"that the kernel knows", w->in->name);
	return error_set(err, ERROR_INPUT, 0,
		"the initrd '%s' is damaged: at byte %llu there is no archive", w->in->name,
		(unsigned long long)pos);
}

/* The archive at *pos; moves *pos behind it. */
static int walk_next(struct walk *w, struct initrd_stream *s, uint64_t *pos, struct error *err)
{
	uint8_t magic[8] = {0};
	const char *compression;
	size_t got;

	initrd_stream_init(s, w->in, *pos, w->in->size);
	if (initrd_stream_read(s, magic, sizeof(magic), &got, err) < 0)
		return -1;
	compression = initrd_compression(magic);
	if (compression)
		return walk_packed(w, s, compression, pos, err);
	if (!is_cpio(magic))
		return unknown(w, magic, *pos, err);
	initrd_stream_init(s, w->in, *pos, w->in->size);
	if (walk_archive(w, s, err) < 0)
		return -1;
	*pos = initrd_stream_tell(s);
	return 0;
}

static int walk(const struct initrd_input *in, initrd_fn fn, void *arg, struct error *err)
{
	CLEANUP_FREE struct initrd_stream *s = malloc(sizeof(*s));
	CLEANUP_FREE struct walk *w = malloc(sizeof(*w));
	uint64_t pos = 0;

	if (!s || !w)
		return error_nomem(err, "an initrd");
	*w = (struct walk){.in = in, .fn = fn, .arg = arg};
	if (in->size > INITRD_BYTES_MAX)
		return error_set(err, ERROR_INPUT, 0, "the initrd '%s' is larger than 2 GiB", in->name);
	for (unsigned nr = 0;; nr++) {
		initrd_stream_init(s, in, pos, in->size);
		if (initrd_stream_skip_zeros(s, err) < 0)
			return -1;
		pos = initrd_stream_tell(s);
		if (pos == in->size)
			return nr ? 0 : error_set(err, ERROR_INPUT, 0, "the initrd '%s' is empty", in->name);
		if (nr == INITRD_ARCHIVES_MAX)
			return error_set(err, ERROR_INPUT, 0, "the initrd '%s' has more than %d archives",
				in->name, INITRD_ARCHIVES_MAX);
		if (walk_next(w, s, &pos, err) < 0)
			return -1;
	}
}

int initrd_walk(const struct tree *t, tree_node node, const char *name, initrd_fn fn, void *arg,
	struct error *err)
{
	struct initrd_input in = {.tree = t, .node = node, .name = name};
	struct tree_attr attr;

	tree_get(t, node, &attr);
	if (!S_ISREG(attr.mode))
		return error_set(err, ERROR_INPUT, 0, "the initrd '%s' is no file", name);
	in.size = attr.size;
	return walk(&in, fn, arg, err);
}

int initrd_walk_mem(const void *data, size_t len, const char *name, initrd_fn fn, void *arg,
	struct error *err)
{
	struct initrd_input in = {.mem = data, .size = len, .name = name};

	return walk(&in, fn, arg, err);
}
