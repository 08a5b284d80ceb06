/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading OVAs: the members of the archive are looked at by their headers alone, the descriptor says which
 * of them is the disk, and that is opened where it lies. What a manifest says of the disk's SHA-256 is
 * held against it.
 */
#include "formats/ova.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "formats/tar_header.h"

enum { MEMBERS_MAX = 1000, TEXT_MAX = 4 << 20 };

/* A member of the archive as a device that owns the archive. */
struct member {
	struct dev dev;
	struct dev *file; /* owned */
	uint64_t off;
};

static int member_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct member *m = (struct member *)dev;

	return dev_pread(m->file, buf, len, m->off + off, err);
}

static int member_close(struct dev *dev, struct error *err)
{
	struct member *m = (struct member *)dev;
	int ret = dev_close(m->file, err);

	free(m);
	return ret;
}

static const struct dev_ops member_ops = {
	.name = "member of an OVA",
	.pread = member_pread,
	.close = member_close,
};

struct place {
	uint64_t off, size;
};

/* Of the members that count. */
struct ova {
	struct dev *file;
	const char *path;
	struct place ovf, mf;
};

static uint64_t get_number(const uint8_t *field, size_t len)
{
	uint64_t value = 0;

	if (field[0] & 0x80) {
		for (size_t i = 1; i < len; i++)
			value = value << 8 | field[i];
		return value;
	}
	for (size_t i = 0; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	return value;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && !strcasecmp(name + len - n, suffix);
}

/*
 * The next member from *off on: 1 with its name and place, 0 at the end. A name is at most 100 bytes in an
 * OVA (longer ones in extended headers are skipped with their headers).
 */
static int next_member(const struct ova *o, uint64_t *off, char name[TAR_NAME_MAX + 1],
	struct place *place, struct error *err)
{
	uint8_t b[TAR_BLOCK];

	if (*off > o->file->size - TAR_BLOCK)
		return 0;
	if (dev_pread(o->file, b, sizeof(b), *off, err) < 0)
		return -1;
	if (!b[0])
		return 0;
	place->off = *off + TAR_BLOCK;
	place->size = get_number(b + 124, 12);
	if (memcmp(b + 257, "ustar", 5) || place->size > o->file->size - place->off)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a damaged tar archive at byte %llu (is it a whole file?)", o->path,
			(unsigned long long)*off);
	memcpy(name, b, TAR_NAME_MAX);
	name[TAR_NAME_MAX] = '\0';
	if (b[156] != '0' && b[156] != 0)
		name[0] = '\0'; /* no plain file */
	*off = num_align(place->off + place->size, TAR_BLOCK);
	return 1;
}

/* The member called name ("./" before it does not count); of the suffix when name is NULL. 1: found. */
static int find_member(const struct ova *o, const char *name, const char *suffix, struct place *place,
	struct error *err)
{
	char found[TAR_NAME_MAX + 1];
	uint64_t off = 0;

	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		int ret = next_member(o, &off, found, place, err);
		const char *plain = strncmp(found, "./", 2) ? found : found + 2;

		if (ret <= 0)
			return ret;
		if (name ? !strcmp(plain, name) : ends_in(plain, suffix))
			return 1;
	}
	return error_set(err, ERROR_INPUT, 0, "'%s' has more than %d members, which no OVA has", o->path,
		MEMBERS_MAX);
}

static int read_text(const struct ova *o, const struct place *p, struct buf *out, struct error *err)
{
	void *where;

	if (p->size > TEXT_MAX)
		return error_set(err, ERROR_INPUT, 0, "'%s' has a descriptor of more than 4 MiB", o->path);
	where = buf_extend(out, (size_t)p->size, err);
	return where ? dev_pread(o->file, where, (size_t)p->size, p->off, err) : -1;
}

/* What the manifest says of the file: "SHA256(name)= hex"; false when it says nothing. */
static bool find_digest(const char *mf, const char *name, uint8_t out[SHA256_SIZE])
{
	const char *line = mf;

	for (; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		static const char kind[] = "SHA256(";
		size_t len = strlen(name);
		const char *p = line + strlen(kind);
		char hex[SHA256_HEX_SIZE];

		if (strncmp(line, kind, strlen(kind)) || strncmp(p, name, len) || p[len] != ')')
			continue;
		p += len + 1;
		p += strspn(p, " =");
		snprintf(hex, sizeof(hex), "%.*s", (int)strcspn(p, "\r\n "), p);
		return !hex_decode(out, SHA256_SIZE, hex);
	}
	return false;
}

static int hash_place(const struct ova *o, const struct place *p, const struct format_read_opts *opts,
	uint8_t out[SHA256_SIZE], struct error *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(MIB);
	struct sha256 *h = sha256_new(err);
	int ret = h ? 0 : -1;

	if (h && !buf)
		ret = error_nomem(err, "a buffer");
	for (uint64_t done = 0; !ret && done < p->size;) {
		size_t step = (size_t)MIN(MIB, p->size - done);

		if (opts->cancelled && opts->cancelled())
			ret = error_set(err, ERROR_INTERRUPTED, 0, "reading '%s' was interrupted", o->path);
		else if (dev_pread(o->file, buf, step, p->off + done, err) < 0 ||
			sha256_update(h, buf, step, err) < 0)
			ret = -1;
		done += step;
	}
	if (!ret)
		ret = sha256_final(h, out, err);
	sha256_free(h);
	return ret;
}

static int check_digest(const struct ova *o, const char *name, const struct place *disk,
	const struct format_read_opts *opts, struct error *err)
{
	CLEANUP_BUF struct buf mf = BUF_INIT(TEXT_MAX);
	uint8_t said[SHA256_SIZE], is[SHA256_SIZE];
	struct place place;
	int ret = find_member(o, NULL, ".mf", &place, err);

	if (ret <= 0)
		return ret;
	if (read_text(o, &place, &mf, err) < 0)
		return -1;
	if (!find_digest(buf_str(&mf), name, said))
		return 0;
	if (hash_place(o, disk, opts, is, err) < 0)
		return -1;
	return !memcmp(said, is, SHA256_SIZE) ? 0 : error_set(err, ERROR_INPUT, 0,
		"'%s' is a damaged OVA: '%s' has not the SHA-256 that its manifest says", o->path, name);
}

/* The disk by the descriptor. 0: there is no descriptor, so it is no OVA. */
static int find_disk(const struct ova *o, const struct format_read_opts *opts, struct place *disk,
	struct error *err)
{
	CLEANUP_BUF struct buf ovf = BUF_INIT(TEXT_MAX);
	CLEANUP_FREE char *name = NULL;
	struct place place;
	size_t nr;
	int ret = find_member(o, NULL, ".ovf", &place, err);

	if (ret <= 0)
		return ret;
	if (read_text(o, &place, &ovf, err) < 0)
		return -1;
	name = ova_ovf_disk(&ovf, &nr, err);
	if (!name)
		return err->kind == ERROR_INPUT ? error_wrap(err, "the descriptor of the OVA '%s'", o->path) : -1;
	if (nr > 1)
		log_warn("'%s' has %zu disks; the first one is read ('%s')", o->path, nr, name);
	ret = find_member(o, name, NULL, disk, err);
	if (!ret)
		return error_set(err, ERROR_INPUT, 0, "'%s' is a damaged OVA: it lacks its disk '%s'", o->path,
			name);
	return ret < 0 || check_digest(o, name, disk, opts, err) < 0 ? -1 : 1;
}

static struct dev *open_member(struct dev *file, const struct place *p, struct error *err)
{
	struct member *m = calloc(1, sizeof(*m));

	if (!m)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an OVA");
	m->dev.ops = &member_ops;
	m->dev.size = p->size;
	m->file = file;
	m->off = p->off;
	return &m->dev;
}

int ova_open(struct dev *file, const char *path, const struct format_read_opts *opts, struct image *out,
	struct error *err)
{
	const struct ova o = {.file = file, .path = path};
	uint64_t size = out->file_size;
	struct place disk = {0};
	int found = file->size < TAR_BLOCK ? 0 : find_disk(&o, opts, &disk, err);
	struct dev *member = NULL;

	if (!found)
		error_set(err, ERROR_INPUT, 0, "'%s' is a tar archive, not a disk (an OVA would have a descriptor, "
			".ovf, in it); use it as a layer of a spec's root, as `tar: %s`", path, path);
	else if (found > 0 && !disk.size)
		error_set(err, ERROR_INPUT, 0, "'%s' is a damaged OVA: its disk is empty", path);
	else if (found > 0)
		member = open_member(file, &disk, err);
	if (!member) {
		dev_close(file, NULL);
		return -1;
	}
	if (format_open_inside(member, path, opts, out, err) < 0)
		return -1;
	out->file_size = size;
	out->format = "ova";
	return 0;
}
