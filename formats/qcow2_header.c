/* SPDX-License-Identifier: Apache-2.0 */
/* What a header says is checked before it is believed, and what is not read here is refused by name. */
#include "formats/qcow2_header.h"

#include <string.h>

#include "base/num.h"
#include "base/text.h"

enum { HEAD_V2 = 72, HEAD_V3 = 104, COMPRESSION = 104, HEAD_ROOM = 112 };
enum { CLUSTER_BITS_MIN = 9, CLUSTER_BITS_MAX = 21 };
enum { NAME_MAX_BYTES = 1023, FEATURE_SIZE = 48, FEATURE_NAME = 46 };

/* The most that QEMU opens, and so the most that anybody writes. */
#define L1_BYTES_MAX (32 * MIB)
/* No EBS volume is larger. */
#define DISK_MAX (64 * TIB)

#define EXTENSION_END 0u
#define EXTENSION_FEATURES 0x6803f857u

/* Incompatible features. */
#define DIRTY (UINT64_C(1) << 0)
#define CORRUPT (UINT64_C(1) << 1)
#define EXTERNAL_DATA (UINT64_C(1) << 2)
#define COMPRESSION_TYPE (UINT64_C(1) << 3)
#define EXTENDED_L2 (UINT64_C(1) << 4)
#define KNOWN (DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2)
/* Compatible ones. */
#define LAZY_REFCOUNTS (UINT64_C(1) << 0)

/* Of one reading. */
struct reader {
	struct dev *file;
	const char *path;
	uint8_t head[HEAD_ROOM]; /* zeros where the file ends before */
	uint64_t length;         /* of the header */
	uint64_t incompatible, compatible;
};

static int damaged(const struct reader *r, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' is a damaged qcow2 image: %s", r->path, what);
}

static int refuse_backing(const struct reader *r, struct error *err)
{
	uint64_t off = num_get_be64(r->head + 8);
	uint32_t len = num_get_be32(r->head + 16);
	char name[NAME_MAX_BYTES + 1] = "";

	if (len > NAME_MAX_BYTES || off > r->file->size || len > r->file->size - off)
		return damaged(r, "the name of its backing file lies outside of it", err);
	if (len && dev_pread(r->file, name, len, off, err) < 0)
		return -1;
	text_make_printable(name);
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a qcow2 image that holds only what differs from its backing file '%.200s'; make a whole "
		"one: qemu-img convert -O qcow2 %s OUT", r->path, name, r->path);
}

/* Names that the image has for its features, of which one is looked for. */
static int find_name(const struct reader *r, unsigned bit, uint64_t off, uint32_t len,
	char name[FEATURE_NAME + 1], struct error *err)
{
	uint8_t entry[FEATURE_SIZE];

	for (uint32_t at = 0; at + FEATURE_SIZE <= len; at += FEATURE_SIZE) {
		if (dev_pread(r->file, entry, FEATURE_SIZE, off + at, err) < 0)
			return -1;
		if (entry[0] != 0 || entry[1] != bit)
			continue;
		memcpy(name, entry + 2, FEATURE_NAME);
		text_make_printable(name);
	}
	return 0;
}

/* The extensions hang together; the name of an incompatible feature, when one of them has it. */
static int walk_extensions(const struct reader *r, uint64_t end, unsigned bit,
	char name[FEATURE_NAME + 1], struct error *err)
{
	uint64_t off = r->length;

	while (end - off >= 8) {
		uint8_t head[8];
		uint32_t type, len;

		if (dev_pread(r->file, head, sizeof(head), off, err) < 0)
			return -1;
		type = num_get_be32(head);
		len = num_get_be32(head + 4);
		off += sizeof(head);
		if (type == EXTENSION_END)
			return 0;
		if (len > end - off)
			return damaged(r, "an extension of its header does not end", err);
		if (type == EXTENSION_FEATURES && find_name(r, bit, off, len, name, err) < 0)
			return -1;
		off += MIN(num_align(len, 8), end - off);
	}
	return 0;
}

static int refuse_unknown(
	const struct reader *r, unsigned bit, const char *name, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a qcow2 image with a feature that is not known here (%s%sbit %u); a newer qemu-img may "
		"make one without it: qemu-img convert -O qcow2 %s OUT",
		r->path, name, *name ? ", " : "", bit, r->path);
}

static int refuse_feature(const struct reader *r, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a qcow2 image with %s, which is not read here; make one without: qemu-img convert -O "
		"qcow2 %s OUT", r->path, what, r->path);
}

static int refuse_state(const struct reader *r, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a qcow2 image that is marked as %s; repair a copy of it: qemu-img check -r all COPY",
		r->path, what);
}

/* What version 3 has for those who cannot do it all. */
static int check_features(const struct reader *r, uint64_t cluster, struct error *err)
{
	uint64_t end = MIN(cluster, r->file->size), unknown = r->incompatible & ~KNOWN;
	unsigned bit = unknown ? (unsigned)__builtin_ctzll(unknown) : 64;
	char name[FEATURE_NAME + 1] = "";

	if (r->length > end)
		return damaged(r, "its header is longer than its first cluster", err);
	if (walk_extensions(r, end, bit, name, err) < 0)
		return -1;
	if (unknown)
		return refuse_unknown(r, bit, name, err);
	if (r->incompatible & CORRUPT)
		return refuse_state(r, "corrupt", err);
	if ((r->incompatible & DIRTY) && !(r->compatible & LAZY_REFCOUNTS))
		return refuse_state(r, "not closed (dirty, without lazy refcounts)", err);
	if (r->incompatible & EXTERNAL_DATA)
		return refuse_feature(r, "an external data file", err);
	if (r->incompatible & EXTENDED_L2)
		return refuse_feature(r, "extended L2 entries (subclusters)", err);
	return 0;
}

static int check_compression(const struct reader *r, struct qcow2_header *h, struct error *err)
{
	unsigned type = r->length > COMPRESSION ? r->head[COMPRESSION] : 0;

	if (!(r->incompatible & COMPRESSION_TYPE) != !type)
		return damaged(r, "its compression is not that of its features", err);
	if (type > 1)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a qcow2 image with a compression (%u) that is not known here; only deflate and "
			"zstd are", r->path, type);
	h->zstd = type == 1;
	return 0;
}

/* The table must have an entry for each part of the disk and lie in the file. */
static int check_l1(const struct reader *r, struct qcow2_header *h, struct error *err)
{
	uint64_t cluster = UINT64_C(1) << h->cluster_bits, per_l2 = cluster / 8;
	uint64_t bytes = (uint64_t)num_get_be32(r->head + 36) * 8;

	h->size = num_get_be64(r->head + 24);
	h->l1_off = num_get_be64(r->head + 40);
	if (!h->size)
		return error_set(err, ERROR_INPUT, 0, "'%s' is a qcow2 image of a disk of 0 bytes", r->path);
	if (h->size > DISK_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a qcow2 image of a disk of more than 64 TiB, which no volume has", r->path);
	h->nr_l1 = num_div_up(num_div_up(h->size, cluster), per_l2);
	if (bytes > L1_BYTES_MAX)
		return damaged(r, "it says that its L1 table has more than 32 MiB", err);
	if (bytes < h->nr_l1 * 8)
		return damaged(r, "its L1 table is too small for its disk", err);
	if (h->l1_off % cluster || !h->l1_off)
		return damaged(r, "its L1 table does not begin where a cluster does", err);
	if (h->l1_off > r->file->size || bytes > r->file->size - h->l1_off)
		return damaged(r, "its L1 table lies outside of it, so it may be cut off", err);
	return 0;
}

static int check_base(struct reader *r, struct qcow2_header *h, struct error *err)
{
	h->version = num_get_be32(r->head + 4);
	h->cluster_bits = num_get_be32(r->head + 20);
	r->length = HEAD_V2;
	if (h->version != 2 && h->version != 3)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a qcow2 image of version %u; only 2 and 3 are read: qemu-img convert -O qcow2 %s "
			"OUT may make one", r->path, h->version, r->path);
	if (r->file->size < (h->version == 2 ? HEAD_V2 : HEAD_V3))
		return damaged(r, "it ends in its header", err);
	if (h->cluster_bits < CLUSTER_BITS_MIN || h->cluster_bits > CLUSTER_BITS_MAX)
		return damaged(r, "its clusters are not of 512 bytes to 2 MiB", err);
	if (h->version == 2)
		return 0;
	r->incompatible = num_get_be64(r->head + 72);
	r->compatible = num_get_be64(r->head + 80);
	r->length = num_get_be32(r->head + 100);
	return r->length >= HEAD_V3 && r->length % 8 == 0 ? 0 :
		damaged(r, "the length of its header cannot be", err);
}

static int check_refused(const struct reader *r, struct error *err)
{
	uint32_t method = num_get_be32(r->head + 32);

	if (method)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is an encrypted qcow2 image (%s); decrypt it first with qemu-img convert and its secret",
			r->path, method == 1 ? "AES" : method == 2 ? "LUKS" : "by an unknown method");
	return num_get_be64(r->head + 8) ? refuse_backing(r, err) : 0;
}

int qcow2_header_read(struct qcow2_header *h, struct dev *file, const char *path, struct error *err)
{
	struct reader r = {.file = file, .path = path};

	*h = (struct qcow2_header){0};
	if (dev_pread(file, r.head, (size_t)MIN((uint64_t)HEAD_ROOM, file->size), 0, err) < 0 ||
		check_base(&r, h, err) < 0 ||
		check_features(&r, UINT64_C(1) << h->cluster_bits, err) < 0 || check_refused(&r, err) < 0 ||
		check_compression(&r, h, err) < 0)
		return -1;
	return check_l1(&r, h, err);
}
