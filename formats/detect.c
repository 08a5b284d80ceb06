/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of image, archive and file-system formats, in the order in which they are tried:
 * whole-file containers first, because a disk inside of them has signatures too (a VHD of fixed
 * size is a raw disk with a footer, a hybrid ISO has an MBR).
 *
 * Sources: VMware Virtual Disk Format 5.0; Microsoft VHD and VHDX specifications; QEMU
 * docs/interop: qcow2, qed_spec, parallels; PKWARE's APPNOTE; 7-Zip's 7zFormat.txt; ECMA-119 8.1;
 * POSIX.1-2017 pax; DSP0243 (OVF); XZ Utils' lzma-file-format.txt; RFC 1952, 8878; the headers of the
 * kernel's file systems; UEFI Specification 2.10 section 5.
 */
#include "formats/detect.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/xmldoc.h"
#include "formats/tar_read.h"

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

/*
 * Before POSIX a tar had no magic: its first header is told by its checksum, which covers the whole of it,
 * and by numbers where they belong.
 */
static bool is_old_tar(const uint8_t *head)
{
	enum { MODE = 100, OWNER = 108, GROUP = 116, SIZE = 124, MTIME = 136 };
	static const struct {
		size_t off, len;
	} numbers[] = {{MODE, 8}, {OWNER, 8}, {GROUP, 8}, {SIZE, 12}, {MTIME, 12}};

	if (!head[0] || tar_check_header(head, NULL) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		const uint8_t *field = head + numbers[i].off;
		uint64_t value;

		/* GNU's numbers in base 256 come with its magic. */
		if (field[0] & 0x80 || tar_number(field, numbers[i].len, &value, NULL) < 0)
			return false;
	}
	return true;
}

/*
 * The file of LZMA alone has no magic; its header is 13 bytes:
 *
 *   0   properties: (pb * 5 + lp) * 9 + lc
 *   1   size of the dictionary, little-endian
 *   5   size of the content, little-endian; all ones: not known
 *   13  the data, whose coder always begins with a zero byte
 *
 * As liblzma does when it has to guess, only dictionaries that encoders make are taken (2^n, 2^n + 2^(n-1)).
 * What is compressed is a disk, and hardly larger than it: numbers at the start of a disk say other things.
 */
static bool is_lzma(const uint8_t *head, uint64_t file_size)
{
	enum { PROPERTIES_END = 225, LC_LP_MAX = 4, DICT_MIN = 4096, HEADER = 13, CONTENT_MIN = 512 };
	uint64_t size = num_get_le64(head + 5);
	uint32_t dict = num_get_le32(head + 1), top = dict;

	while (top & (top - 1))
		top &= top - 1; /* the highest bit is left */
	if (head[0] >= PROPERTIES_END || head[0] % 9 + head[0] / 9 % 5 > LC_LP_MAX || head[HEADER] ||
		dict < DICT_MIN || (dict != top && dict != (top | top >> 1)))
		return false;
	return size == UINT64_MAX ||
	       (size >= CONTENT_MIN && size <= 64 * TIB && file_size <= HEADER + size + size / 8);
}

/* An XML document whose root is the Envelope of a machine. */
static int is_ovf(struct dev *dev, const uint8_t *head, bool *is, struct error *err)
{
	enum { TEXT_MAX = 4 << 20, BOM = 3 };
	CLEANUP_FREE char *text = NULL;
	CLEANUP(xmldoc_cleanup) struct xmldoc *x = NULL;
	const struct xmldoc_node *root;

	*is = false;
	if (!memcmp(head, "\xef\xbb\xbf", BOM))
		head += BOM;
	if (head[strspn((const char *)head, " \t\r\n")] != '<' || dev->size > TEXT_MAX)
		return 0;
	text = malloc((size_t)dev->size);
	if (!text)
		return error_nomem(err, "the text of an image");
	if (dev_pread(dev, text, (size_t)dev->size, 0, err) < 0)
		return -1;
	x = xmldoc_parse(text, (size_t)dev->size, NULL);
	root = x ? xmldoc_root(x) : NULL;
	*is = xmldoc_is(root, "Envelope") && (xmldoc_child(root, "References") || xmldoc_child(root, "VirtualSystem"));
	return 0;
}

/* What has no magic of its own, and is not to be taken for a disk either. */
static int detect_rest(struct dev *dev, const uint8_t *head, const char **name, struct error *err)
{
	bool ovf;

	if (is_ovf(dev, head, &ovf, err) < 0)
		return -1;
	*name = ovf ? "ovf" : is_lzma(head, dev->size) ? "lzma" : "unknown";
	return 0;
}

int detect_format(struct dev *dev, const char **name, struct error *err)
{
	CLEANUP_FREE uint8_t *head = calloc(1, HEAD + 1); /* a NUL at its end */
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
	if (!*name && is_old_tar(head))
		*name = "tar";
	if (!*name)
		*name = find_signature(raw_contents, ARRAY_SIZE(raw_contents), head);
	if (!*name && is_ext(head))
		*name = "raw";
	return *name ? 0 : detect_rest(dev, head, name, err);
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
