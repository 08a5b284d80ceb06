/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of image, archive and file-system formats, in the order in which they are tried:
 * whole-file containers first, because a disk inside of them has signatures too (a VHD of fixed
 * size is a raw disk with a footer, a hybrid ISO has an MBR).
 *
 * Sources: VMware Virtual Disk Format 5.0; Microsoft VHD and VHDX specifications; QEMU
 * docs/interop: qcow2, qed_spec, parallels; PKWARE's APPNOTE; 7-Zip's 7zFormat.txt; ECMA-119 8.1;
 * POSIX.1-2017 pax; RFC 1952, 8878; the headers of the kernel's file systems; UEFI Specification 2.10
 * section 5.
 */
#include "formats/detect.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

/* All but a footer, and zstd behind frames to skip, is found in the first HEAD bytes (btrfs: 64 KiB + 72). */
#define HEAD (68 * KIB)

struct signature {
	const char *format;
	size_t off;
	const char *magic;
	size_t len;
};

#define MAGIC(format, off, text)                    \
	{                                           \
		format, off, text, sizeof(text) - 1 \
	}

static const struct signature containers[] = {
	MAGIC("qcow2", 0, "QFI\xfb"),
	MAGIC("vmdk", 0, "KDMV"),
	MAGIC("vmdk", 0, "COWD"),
	MAGIC("vmdk", 0, "# Disk DescriptorFile"),
	MAGIC("vhdx", 0, "vhdxfile"),
	MAGIC("vhd", 0, "conectix"),
	MAGIC("vdi", 64, "\x7f\x10\xda\xbe"),
	MAGIC("qed", 0, "QED\0"),
	MAGIC("parallels", 0, "WithoutFreeSpace"),
	MAGIC("parallels", 0, "WithouFreSpacExt"),
	MAGIC("zip", 0, "PK\3\4"),
	MAGIC("7z", 0, "7z\xbc\xaf\x27\x1c"),
	MAGIC("xz", 0,
		"\xfd"
		"7zXZ\0"),
	MAGIC("zstd", 0, "\x28\xb5\x2f\xfd"),
	MAGIC("lz4", 0, "\x04\x22\x4d\x18"),
	MAGIC("lz4", 0, "\x02\x21\x4c\x18"), /* the legacy frame, of lz4 -l */
	MAGIC("lzop", 0, "\x89LZO\0\r\n\x1a\n"),
	MAGIC("gzip", 0, "\x1f\x8b\x08"),
	MAGIC("iso9660", 32769, "CD001"),
	MAGIC("tar", 257, "ustar"),
};

static const struct signature raw_contents[] = {
	MAGIC("raw", 510, "\x55\xaa"),
	MAGIC("raw", 512, "EFI PART"),
	MAGIC("raw", 4096, "EFI PART"),
	MAGIC("raw", 0, "XFSB"),
	MAGIC("raw", 0, "hsqs"),
	MAGIC("raw", 0, "LUKS\xba\xbe"),
	MAGIC("raw", 512, "LABELONE"),
	MAGIC("raw", 4086, "SWAPSPACE2"),
	MAGIC("raw", 0, "\xfc\x4e\x2b\xa9"), /* a member of an array: md 1.1, and 1.2 */
	MAGIC("raw", 4096, "\xfc\x4e\x2b\xa9"),
	MAGIC("raw", 1024, "\x10\x20\xf5\xf2"), /* f2fs */
	MAGIC("raw", 64 * 1024 + 64, "_BHRfS_M"),
};

static const char *find_signature(const struct signature *table, size_t nr, const uint8_t *head)
{
	for (size_t i = 0; i < nr; i++) {
		if (memcmp(head + table[i].off, table[i].magic, table[i].len) == 0)
			return table[i].format;
	}
	return NULL;
}

/* "BZh", the level, and the first block's magic (or an empty stream's end). */
static bool is_bzip2(const uint8_t *head)
{
	return memcmp(head, "BZh", 3) == 0 && head[3] >= '1' && head[3] <= '9' &&
	       (memcmp(head + 4, "1AY&SY", 6) == 0 || memcmp(head + 4, "\x17rE8P\x90", 6) == 0);
}

/*
 * Two bytes of magic are few, so the block size and the number of inodes must make sense as well.
 */
static bool is_ext(const uint8_t *head)
{
	const uint8_t *super = head + 1024;

	return num_get_le16(super + 56) == 0xef53 && num_get_le32(super) > 0 &&
	       num_get_le32(super + 24) <= 6;
}

/* The footer of a VHD is the last sector; 511 bytes of it in files of early versions. */
static int is_vhd_footer(struct dev *dev, bool *is, struct error *err)
{
	uint8_t last[512];

	*is = false;
	if (dev->size < sizeof(last))
		return 0;
	if (dev_pread(dev, last, sizeof(last), dev->size - sizeof(last), err) < 0)
		return -1;
	*is = memcmp(last, "conectix", 8) == 0 || memcmp(last + 1, "conectix", 8) == 0;
	return 0;
}

/*
 * pzstd, among others, begins with frames that are to be skipped (RFC 8878 3.1.2: magic, length, as
 * many bytes); the first other one must be one of zstd, since lz4 has the same to skip.
 */
static int is_zstd_behind_skippable(struct dev *dev, bool *is, struct error *err)
{
	enum { SKIPPABLE = 0x184d2a50, ZSTD = 0xfd2fb528, FRAMES = 64, HEADER = 8 };
	uint64_t at = 0;

	*is = false;
	for (int i = 0; i < FRAMES && at <= dev->size && dev->size - at >= HEADER; i++) {
		uint8_t h[HEADER];

		if (dev_pread(dev, h, sizeof(h), at, err) < 0)
			return -1;
		*is = i > 0 && num_get_le32(h) == ZSTD;
		if ((num_get_le32(h) & ~(uint32_t)15) != SKIPPABLE)
			return 0;
		at += HEADER + (uint64_t)num_get_le32(h + 4);
	}
	return 0;
}

int detect_format(struct dev *dev, const char **name, struct error *err)
{
	CLEANUP_FREE uint8_t *head = calloc(1, HEAD);
	bool vhd, zstd;

	if (!head)
		return error_nomem(err, "the start of an image");
	if (dev_pread(dev, head, MIN(HEAD, dev->size), 0, err) < 0 ||
		is_vhd_footer(dev, &vhd, err) < 0 || is_zstd_behind_skippable(dev, &zstd, err) < 0)
		return -1;
	*name = find_signature(containers, ARRAY_SIZE(containers), head);
	if (!*name && vhd)
		*name = "vhd";
	if (!*name && zstd)
		*name = "zstd";
	if (!*name && is_bzip2(head))
		*name = "bzip2";
	if (!*name)
		*name = find_signature(raw_contents, ARRAY_SIZE(raw_contents), head);
	if (!*name)
		*name = is_ext(head) ? "raw" : "unknown";
	return 0;
}

int detect_starts(struct dev *dev, bool *starts, struct error *err)
{
	static const char gpt[] = "EFI PART";
	uint8_t head[4096 + sizeof(gpt) - 1] = {0};

	if (dev_pread(dev, head, MIN(sizeof(head), dev->size), 0, err) < 0)
		return -1;
	*starts = (head[510] == 0x55 && head[511] == 0xaa) || !memcmp(head + 512, gpt, sizeof(gpt) - 1) ||
		  !memcmp(head + 4096, gpt, sizeof(gpt) - 1);
	return 0;
}
