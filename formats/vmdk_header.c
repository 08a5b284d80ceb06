/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse headers to bytes and back. Nothing that a file says is believed before it was checked here. */
#include "formats/vmdk_header.h"

#include <string.h>

#include "base/num.h"

#define NEWLINES "\n \r\n"

enum {
	MAGIC = 0x564d444b, /* "KDMV" */
	AT_NEWLINES = 73,
	AT_COMPRESSION = 77,
	VERSION_MAX = 3,
	GRAIN_MAX = 2048, /* sectors: 1 MiB, far more than anybody writes */
	ENTRIES_MIN = 32,
	ENTRIES_MAX = 65536,
	FOOTER_SECTORS = 2, /* the footer and the marker of the end */
	/* What a reader must know to read a file: the upper half of the flags. */
	FLAGS_INCOMPATIBLE = (int)0xffff0000,
	FLAGS_KNOWN = VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS,
};

/* 64 TiB: what EBS and vSphere stop at; it bounds the directory's memory as well. */
#define CAPACITY_MAX (64 * TIB / VMDK_SECTOR)

void vmdk_header_put(const struct vmdk_header *h, uint8_t out[VMDK_SECTOR])
{
	memset(out, 0, VMDK_SECTOR);
	num_put_le32(out, MAGIC);
	num_put_le32(out + 4, h->version);
	num_put_le32(out + 8, h->flags);
	num_put_le64(out + 12, h->capacity);
	num_put_le64(out + 20, h->grain_size);
	num_put_le64(out + 28, h->descriptor);
	num_put_le64(out + 36, h->descriptor_size);
	num_put_le32(out + 44, h->table_entries);
	num_put_le64(out + 48, h->redundant);
	num_put_le64(out + 56, h->directory);
	num_put_le64(out + 64, h->overhead);
	memcpy(out + AT_NEWLINES, NEWLINES, sizeof(NEWLINES) - 1);
	num_put_le16(out + AT_COMPRESSION, h->compression);
}

void vmdk_marker_put(uint64_t sectors, enum vmdk_marker type, uint8_t out[VMDK_SECTOR])
{
	memset(out, 0, VMDK_SECTOR);
	num_put_le64(out, sectors);
	num_put_le32(out + 12, type);
}

bool vmdk_header_compressed(const struct vmdk_header *h)
{
	return h->compression == VMDK_COMPRESSION_DEFLATE;
}

static void parse(struct vmdk_header *h, const uint8_t *in)
{
	h->version = num_get_le32(in + 4);
	h->flags = num_get_le32(in + 8);
	h->capacity = num_get_le64(in + 12);
	h->grain_size = num_get_le64(in + 20);
	h->descriptor = num_get_le64(in + 28);
	h->descriptor_size = num_get_le64(in + 36);
	h->table_entries = num_get_le32(in + 44);
	h->redundant = num_get_le64(in + 48);
	h->directory = num_get_le64(in + 56);
	h->overhead = num_get_le64(in + 64);
	h->compression = num_get_le16(in + AT_COMPRESSION);
}

static bool power_of_2(uint64_t v, uint64_t min, uint64_t max)
{
	return v >= min && v <= max && (v & (v - 1)) == 0;
}

static int check_sizes(const struct vmdk_header *h, const char *path, struct error *err)
{
	if (h->capacity == 0 || h->capacity > CAPACITY_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' says that its disk has %llu sectors: there must be 1 to %llu (64 TiB)", path,
			(unsigned long long)h->capacity, (unsigned long long)CAPACITY_MAX);
	if (!power_of_2(h->grain_size, 1, GRAIN_MAX))
		return error_set(err, ERROR_INPUT, 0,
			"'%s' has grains of %llu sectors: a power of 2 up to %d is right", path,
			(unsigned long long)h->grain_size, GRAIN_MAX);
	if (!power_of_2(h->table_entries, ENTRIES_MIN, ENTRIES_MAX))
		return error_set(err, ERROR_INPUT, 0,
			"'%s' has grain tables of %u entries: a power of 2 from %d to %d is right", path,
			h->table_entries, ENTRIES_MIN, ENTRIES_MAX);
	return 0;
}

static int check_kind(
	const struct vmdk_header *h, const uint8_t *in, const char *path, struct error *err)
{
	if (h->version == 0 || h->version > VERSION_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a VMDK of version %u: 1 to %d can be read", path, h->version, VERSION_MAX);
	if (h->flags & FLAGS_INCOMPATIBLE & ~(uint32_t)FLAGS_KNOWN)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' needs a reader of more than VMDK 5.0 (flags %#x)", path, h->flags);
	if ((h->flags & VMDK_FLAG_NEWLINES) && memcmp(in + AT_NEWLINES, NEWLINES, sizeof(NEWLINES) - 1) != 0)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' was damaged by a transfer as text (its line ends were changed)", path);
	if (h->compression > VMDK_COMPRESSION_DEFLATE ||
		((h->flags & VMDK_FLAG_COMPRESSED) && !vmdk_header_compressed(h)))
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is compressed in a way that is not known (%u)", path, h->compression);
	return 0;
}

static int read_one(struct vmdk_header *h, struct dev *file, uint64_t off, const char *path,
	struct error *err)
{
	uint8_t in[VMDK_SECTOR];

	if (dev_pread(file, in, sizeof(in), off, err) < 0)
		return -1;
	if (num_get_le32(in) != MAGIC)
		return error_set(err, ERROR_INPUT, 0,
			off ? "'%s' ends without its footer: it was cut off" : "'%s' is no sparse VMDK", path);
	parse(h, in);
	return check_kind(h, in, path, err);
}

/*
 * The footer is a second header that knows where the directory is. Grains could be found by their markers
 * without it, but not whether one of them is missing: so a file without it is refused.
 */
static int read_footer(struct vmdk_header *h, struct dev *file, const char *path, struct error *err)
{
	uint64_t end = file->size & ~(uint64_t)(VMDK_SECTOR - 1);

	if (end < (FOOTER_SECTORS + 1) * VMDK_SECTOR)
		return error_set(err, ERROR_INPUT, 0, "'%s' ends without its footer: it was cut off", path);
	if (read_one(h, file, end - FOOTER_SECTORS * VMDK_SECTOR, path, err) < 0)
		return -1;
	if (h->directory == VMDK_DIRECTORY_AT_END)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' has a footer that does not say where its grain directory is", path);
	return 0;
}

int vmdk_header_read(struct vmdk_header *h, struct dev *file, const char *path, struct error *err)
{
	if (file->size < VMDK_SECTOR)
		return error_set(err, ERROR_INPUT, 0, "'%s' is no sparse VMDK: it is too short", path);
	if (read_one(h, file, 0, path, err) < 0 ||
		(h->directory == VMDK_DIRECTORY_AT_END && read_footer(h, file, path, err) < 0))
		return -1;
	return check_sizes(h, path, err);
}
