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

#include "base/hash.h"
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

static int hash_place(const struct ova_tar *o, const struct ova_place *p, const struct format_read_opts *opts,
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

static int check_digest(const struct ova_tar *o, const char *name, const struct ova_place *disk,
	const struct format_read_opts *opts, struct error *err)
{
	CLEANUP_BUF struct buf mf = BUF_INIT(TEXT_MAX);
	uint8_t said[SHA256_SIZE], is[SHA256_SIZE];
	struct ova_place place;
	int ret = ova_tar_find(o, NULL, ".mf", &place, err);

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
