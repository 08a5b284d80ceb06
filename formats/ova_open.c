/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading OVAs: the members of the archive are looked at by their headers alone, the descriptor says which
 * of them is the disk, and that is opened where it lies. What a manifest says of the disk's digest is
 * held against it.
 */
#include "formats/ova.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/hash_stream.h"
#include "base/log.h"
#include "base/num.h"
#include "base/text.h"
#include "base/window.h"
#include "formats/ova_tar.h"

enum { TEXT_MAX = 4 << 20 };

static int read_text(const struct ova_tar *o, const struct ova_place *p, struct buf *out, struct error *err)
{
	void *where;

	if (p->size > TEXT_MAX)
		return error_set(err, ERROR_INPUT, 0, "'%s' has a descriptor of more than 4 MiB", o->path);
	where = buf_extend(out, (size_t)p->size, err);
	return where ? dev_pread(o->file, where, (size_t)p->size, p->off, err) : -1;
}

struct digest {
	enum hash_kind kind;
	const char *called;
	uint8_t bytes[HASH_STREAM_MAX];
	size_t len;
};

/* Behind "SHA256(name)= " when the line is of that algorithm and file; VirtualBox has a space before the bracket. */
static const char *find_value(const char *line, const char *algorithm, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(line, algorithm, strlen(algorithm)))
		return NULL;
	line += strlen(algorithm);
	line += strspn(line, " ");
	if (*line != '(' || strncmp(line + 1, name, len) || line[1 + len] != ')')
		return NULL;
	line += len + 2;
	return line + strspn(line, " =");
}

/*
 * What the manifest says of the file (DSP0243, OVF 2.1, 5.1), by SHA-256, by SHA-1 as in OVF 1, or by SHA-512. 1: d has
 * it; 0: it says nothing; -1: what it says is no digest.
 */
static int find_digest(const char *mf, const char *name, struct digest *d)
{
	static const struct {
		const char *algorithm, *called;
		enum hash_kind kind;
		size_t len;
	} kinds[] = {{"SHA256", "SHA-256", HASH_SHA256, 32}, {"SHA1", "SHA-1", HASH_SHA1, 20},
		{"SHA512", "SHA-512", HASH_SHA512, 64}};

	for (const char *line = mf; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
			const char *value = find_value(line, kinds[i].algorithm, name);
			char hex[2 * HASH_STREAM_MAX + 2];

			if (!value)
				continue;
			snprintf(hex, sizeof(hex), "%.*s", (int)strcspn(value, "\r\n "), value);
			*d = (struct digest){.kind = kinds[i].kind, .called = kinds[i].called, .len = kinds[i].len};
			return hex_decode(d->bytes, d->len, hex) ? -1 : 1;
		}
	}
	return 0;
}

static int hash_place(const struct ova_tar *o, const struct ova_place *p, const struct format_read_opts *opts,
	struct digest *d, struct error *err)
{
	CLEANUP_FREE uint8_t *buf = malloc(MIB);
	CLEANUP(hash_stream_cleanup) struct hash_stream *h = hash_stream_new(d->kind, err);

	if (!h)
		return -1;
	if (!buf)
		return error_nomem(err, "a buffer");
	for (uint64_t done = 0; done < p->size;) {
		size_t step = (size_t)MIN(MIB, p->size - done);

		if (opts->cancelled && opts->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "reading '%s' was interrupted", o->path);
		if (dev_pread(o->file, buf, step, p->off + done, err) < 0 ||
			hash_stream_update(h, buf, step, err) < 0)
			return -1;
		done += step;
	}
	return hash_stream_final(h, d->bytes, &d->len, err);
}

static int check_digest(const struct ova_tar *o, const char *name, const struct ova_place *disk,
	const struct format_read_opts *opts, struct error *err)
{
	CLEANUP_BUF struct buf mf = BUF_INIT(TEXT_MAX);
	struct digest said, is;
	struct ova_place place;
	int ret = ova_tar_find(o, NULL, ".mf", &place, err);

	if (ret <= 0)
		return ret;
	if (read_text(o, &place, &mf, err) < 0)
		return -1;
	ret = find_digest(buf_str(&mf), name, &said);
	if (ret < 0)
		return error_set(err, ERROR_INPUT, 0, "'%s' is a damaged OVA: what its manifest says of '%s' is no %s",
			o->path, name, said.called);
	if (ret == 0)
		return 0;
	is = said;
	if (hash_place(o, disk, opts, &is, err) < 0)
		return -1;
	return !memcmp(said.bytes, is.bytes, said.len) ? 0 : error_set(err, ERROR_INPUT, 0,
		"'%s' is a damaged OVA: '%s' has not the %s that its manifest says", o->path, name, said.called);
}

/* The disk by the descriptor. 0: there is no descriptor, so it is no OVA. */
static int find_disk(const struct ova_tar *o, const struct format_read_opts *opts, struct ova_place *disk,
	struct error *err)
{
	CLEANUP_BUF struct buf ovf = BUF_INIT(TEXT_MAX);
	CLEANUP_FREE char *name = NULL;
	struct ova_place place;
	char shown[201];
	size_t nr;
	int ret = ova_tar_find(o, NULL, ".ovf", &place, err);

	if (ret <= 0)
		return ret;
	if (read_text(o, &place, &ovf, err) < 0)
		return -1;
	name = ova_ovf_disk(&ovf, &nr, err);
	if (!name)
		return err->kind == ERROR_INPUT ? error_wrap(err, "the descriptor of the OVA '%s'", o->path) : -1;
	snprintf(shown, sizeof(shown), "%s", name);
	text_make_printable(shown);
	if (nr > 1)
		log_warn("'%s' has %zu disks; the first one is read ('%s')", o->path, nr, shown);
	ret = ova_tar_find(o, name, NULL, disk, err);
	if (!ret)
		return error_set(err, ERROR_INPUT, 0, "'%s' is a damaged OVA: it lacks its disk '%s'", o->path,
			shown);
	return ret < 0 || check_digest(o, name, disk, opts, err) < 0 ? -1 : 1;
}

int ova_open(struct dev *file, const char *path, const struct format_read_opts *opts, struct image *out,
	struct error *err)
{
	const struct ova_tar o = {.file = file, .path = path};
	uint64_t size = out->file_size;
	struct ova_place disk = {0};
	int found = find_disk(&o, opts, &disk, err);
	struct dev *member = NULL;

	if (!found)
		error_set(err, ERROR_INPUT, 0, "'%s' is a tar archive, not a disk (an OVA would have a descriptor, "
			".ovf, in it); use it as a layer of a spec's root, as `tar: %s`", path, path);
	else if (found > 0 && !disk.size)
		error_set(err, ERROR_INPUT, 0, "'%s' is a damaged OVA: its disk is empty", path);
	else if (found > 0)
		member = window_take(steal_ptr(&file), disk.off, disk.size, err);
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
