/* SPDX-License-Identifier: Apache-2.0 */
/* A walk from header to header; what an extended one says is kept until the member that it is about. */
#include "formats/ova_tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/num.h"
#include "formats/tar_read.h"

enum { MEMBERS_MAX = 1000, EXTENDED_MAX = 1 << 20, NAME_MAX_BYTES = 1024 };

/* Fields of a header. */
enum { NAME = 0, NAME_LEN = 100, SIZE = 124, SIZE_LEN = 12, TYPE = 156, MAGIC = 257, PREFIX = 345,
	PREFIX_LEN = 155 };

struct member {
	char name[NAME_MAX_BYTES + 1]; /* "": no plain file, or a name longer than that of any OVA */
	bool has_name, has_size;       /* of an extended header */
	uint64_t size;
	struct ova_place place;
};

static int damaged(const struct ova_tar *t, uint64_t off, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' is a damaged tar archive at byte %llu (is it a whole file?)",
		t->path, (unsigned long long)off);
}

static int refuse_sparse(const struct ova_tar *t, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' stores a file as a sparse one, which no OVA does: pack it again without tar's --sparse", t->path);
}

static void take_name(struct member *m, const char *text, size_t len)
{
	len = strnlen(text, len);
	snprintf(m->name, sizeof(m->name), "%.*s", len > NAME_MAX_BYTES ? 0 : (int)len, text);
}

/* What pax records say of the member that follows. */
static int take_records(
	const struct ova_tar *t, struct member *m, const struct buf *text, struct error *err)
{
	struct tar_pax pax = {0};
	struct tar_map map = {0};
	int ret = tar_pax_read(&pax, &map, text->data, text->len, err);

	free(map.pieces);
	if (ret < 0)
		return error_wrap(err, "'%s'", t->path);
	if (pax.has_real_size || pax.map_given || pax.sparse_1_0)
		return refuse_sparse(t, err);
	if (pax.path) {
		take_name(m, pax.path, pax.path_len);
		m->has_name = true;
	}
	if (pax.has_size) {
		m->size = pax.size;
		m->has_size = true;
	}
	return 0;
}

/* type: 'x' (pax records) or 'L' (GNU's long name). */
static int take_extended(const struct ova_tar *t, struct member *m, char type, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(EXTENDED_MAX);
	void *to;

	if (m->place.size > EXTENDED_MAX)
		return damaged(t, m->place.off, err);
	to = buf_extend(&text, (size_t)m->place.size, err);
	if (!to || dev_pread(t->file, to, (size_t)m->place.size, m->place.off, err) < 0)
		return -1;
	if (type == 'x')
		return take_records(t, m, &text, err);
	take_name(m, buf_str(&text), text.len);
	m->has_name = true;
	return 0;
}

/* Only POSIX's magic promises a prefix. */
static void take_header_name(struct member *m, const uint8_t *b)
{
	const char *name = (const char *)b + NAME, *prefix = (const char *)b + PREFIX;
	bool has_prefix = !memcmp(b + MAGIC, "ustar", 6) && *prefix;

	snprintf(m->name, sizeof(m->name), "%.*s%s%.*s", has_prefix ? PREFIX_LEN : 0, prefix,
		has_prefix ? "/" : "", NAME_LEN, name);
}

/* The header at *off, which goes on behind its content. 1: a member, 2: an extended header, 0: the end. */
static int next_header(
	const struct ova_tar *t, uint64_t *off, struct member *m, char *type, struct error *err)
{
	uint8_t b[TAR_BLOCK];
	uint64_t size;

	if (t->file->size < TAR_BLOCK || *off > t->file->size - TAR_BLOCK)
		return 0;
	if (dev_pread(t->file, b, sizeof(b), *off, err) < 0)
		return -1;
	if (!b[0])
		return 0;
	*type = (char)b[TYPE];
	if (tar_check_header(b, NULL) < 0 || tar_number(b + SIZE, SIZE_LEN, &size, NULL) < 0)
		return damaged(t, *off, err);
	m->place.off = *off + TAR_BLOCK;
	m->place.size = m->has_size && !strchr("xgLK", *type) ? m->size : size;
	if (m->place.size > t->file->size - m->place.off)
		return damaged(t, *off, err);
	*off = num_align(m->place.off + m->place.size, TAR_BLOCK);
	if (*type && strchr("xgLK", *type))
		return 2;
	if (!m->has_name)
		take_header_name(m, b);
	return 1;
}

/* 1 with the next member from *off on, 0 at the end. */
static int next_member(const struct ova_tar *t, uint64_t *off, struct member *m, struct error *err)
{
	*m = (struct member){0};
	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		char type = 0;
		int ret = next_header(t, off, m, &type, err);

		if (ret == 2 && (type == 'x' || type == 'L') && take_extended(t, m, type, err) < 0)
			return -1;
		if (ret == 2)
			continue;
		if (ret == 1 && type == 'S')
			return refuse_sparse(t, err);
		if (type && type != '0')
			m->name[0] = '\0'; /* no plain file */
		return ret;
	}
	return damaged(t, *off, err);
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && !strcasecmp(name + len - n, suffix);
}

int ova_tar_find(const struct ova_tar *t, const char *name, const char *suffix, struct ova_place *place,
	struct error *err)
{
	struct member m;
	uint64_t off = 0;

	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		int ret = next_member(t, &off, &m, err);
		const char *plain = strncmp(m.name, "./", 2) ? m.name : m.name + 2;

		if (ret <= 0)
			return ret;
		if (name ? !strcmp(plain, name) : ends_in(plain, suffix)) {
			*place = m.place;
			return 1;
		}
	}
	return error_set(err, ERROR_INPUT, 0, "'%s' has more than %d members, which no OVA has", t->path,
		MEMBERS_MAX);
}
