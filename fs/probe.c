/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems by their magic numbers. One function a file system looks at the first bytes of the
 * device, read once; the order of the table says who wins where an old file system's magic
 * survived. Names of types are those of blkid. Facts come from the file systems' own documentation
 * of their formats.
 */
#include "fs/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/num.h"
#include "fs/ext4_probe.h"
#include "fs/raid_probe.h"
#include "fs/verity.h"
#include "fs/vfat_probe.h"

/* Room for the superblock that lies farthest behind: that of btrfs, at 64 KiB. */
enum { HEAD = (64 << 10) + 4096 };

static bool has(const uint8_t *head, size_t at, const char *magic, size_t len)
{
	return memcmp(head + at, magic, len) == 0;
}

static void set_type(struct probe *p, const char *type)
{
	snprintf(p->type, sizeof(p->type), "%s", type);
}

/* A fixed field of text that NUL or spaces fill up. */
static void set_label(struct probe *p, const uint8_t *field, size_t len)
{
	const char *text = (const char *)field;

	len = MIN(strnlen(text, len), sizeof(p->label) - 1);
	while (len > 0 && text[len - 1] == ' ')
		len--;
	memcpy(p->label, text, len);
	p->label[len] = '\0';
}

static void set_uuid(struct probe *p, const uint8_t uuid[16])
{
	static const uint8_t none[16];

	if (memcmp(uuid, none, sizeof(none)) != 0)
		uuid_format(p->uuid, uuid);
}

static bool probe_luks(const uint8_t *head, struct probe *p)
{
	if (!has(head, 0, "LUKS\xba\xbe", 6))
		return false;
	set_type(p, "crypto_LUKS");
	if (head[7] == 2)
		set_label(p, head + 24, 48);
	snprintf(p->uuid, sizeof(p->uuid), "%.*s", (int)sizeof(p->uuid) - 1,
		(const char *)head + 168);
	return true;
}

static bool probe_lvm(const uint8_t *head, struct probe *p)
{
	static const size_t groups[] = {6, 4, 4, 4, 4, 4, 6};

	for (size_t at = 0; at < 4 * 512; at += 512) {
		size_t from = at + num_get_le32(head + at + 20), to = 0;

		if (!has(head, at, "LABELONE", 8) || !has(head, at + 24, "LVM2 001", 8))
			continue;
		set_type(p, "LVM2_member");
		/* 32 letters, which LVM shows in groups. */
		for (size_t i = 0; i < ARRAY_SIZE(groups) && from < at + 512 - 32; i++) {
			to += (size_t)snprintf(p->uuid + to, sizeof(p->uuid) - to, "%s%.*s", i ? "-" : "",
				(int)groups[i], (const char *)head + from);
			from += groups[i];
		}
		return true;
	}
	return false;
}

static bool probe_xfs(const uint8_t *head, struct probe *p)
{
	if (!has(head, 0, "XFSB", 4))
		return false;
	set_type(p, "xfs");
	set_uuid(p, head + 32);
	set_label(p, head + 108, 12);
	p->block_size = num_get_be32(head + 4);
	if (num_mul(num_get_be64(head + 8), p->block_size, &p->size))
		p->size = 0;
	/*
	 * The count of free blocks is only right after a clean unmount, which nothing here tells.
	 */
	if (num_get_be64(head + 144) <= num_get_be64(head + 8) && p->size > 0)
		p->used = (num_get_be64(head + 8) - num_get_be64(head + 144)) * p->block_size;
	return true;
}

/* The label is in UTF-16; what is not ASCII is no more than marked here. */
static bool probe_f2fs(const uint8_t *head, struct probe *p)
{
	const uint8_t *sb = head + 1024, *label = sb + 124;
	size_t len = 0;

	if (num_get_le32(sb) != 0xf2f52010)
		return false;
	set_type(p, "f2fs");
	set_uuid(p, sb + 108);
	p->block_size = UINT64_C(1) << (num_get_le32(sb + 16) & 31);
	if (num_mul(num_get_le64(sb + 36), p->block_size, &p->size))
		p->size = 0;
	for (; len < sizeof(p->label) - 1 && num_get_le16(label + 2 * len); len++) {
		uint16_t letter = num_get_le16(label + 2 * len);

		p->label[len] = letter < 0x80 ? (char)letter : '?';
	}
	return true;
}

static bool probe_squashfs(const uint8_t *head, struct probe *p)
{
	if (!has(head, 0, "hsqs", 4))
		return false;
	set_type(p, "squashfs");
	p->block_size = num_get_le32(head + 12);
	p->size = p->used = num_get_le64(head + 40);
	p->usage_known = true;
	return true;
}

static bool probe_btrfs(const uint8_t *head, struct probe *p)
{
	const uint8_t *sb = head + (64 << 10);

	if (!has(sb, 64, "_BHRfS_M", 8))
		return false;
	set_type(p, "btrfs");
	set_uuid(p, sb + 32);
	set_label(p, sb + 299, 256);
	p->size = num_get_le64(sb + 112);
	p->used = num_get_le64(sb + 120);
	p->block_size = num_get_le32(sb + 144);
	return true;
}

/* The magic ends the first page, whose size is that of the machine that made it. */
static bool probe_swap(const uint8_t *head, struct probe *p)
{
	for (uint32_t page = 4096; page <= 65536; page *= 2) {
		if (!has(head, page - 10, "SWAPSPACE2", 10))
			continue;
		set_type(p, "swap");
		p->block_size = page;
		p->size = ((uint64_t)num_get_le32(head + 1028) + 1) * page;
		set_uuid(p, head + 1036);
		set_label(p, head + 1052, 16);
		return true;
	}
	return false;
}

static bool probe_iso(const uint8_t *head, struct probe *p)
{
	const uint8_t *volume = head + (32 << 10);
	const char *t = (const char *)volume + 830; /* last modified: YYYYMMDDhhmmsscc */

	if (!has(volume, 1, "CD001", 5))
		return false;
	set_type(p, "iso9660");
	set_label(p, volume + 40, 32);
	p->block_size = num_get_le16(volume + 128);
	p->size = p->used = num_get_le32(volume + 80) * p->block_size;
	p->usage_known = true;
	if (t[0] >= '0' && t[0] <= '9')
		snprintf(p->uuid, sizeof(p->uuid), "%.4s-%.2s-%.2s-%.2s-%.2s-%.2s-%.2s", t, t + 4,
			t + 6, t + 8, t + 10, t + 12, t + 14);
	return true;
}

/* The hash device of dm-verity; its size is that of its tree (fs/verity.h). */
static bool probe_verity(const uint8_t *head, struct probe *p)
{
	uint64_t blocks = num_get_le64(head + 72);

	if (!has(head, 0, "verity\0\0", 8) || num_get_le32(head + 8) != 1)
		return false;
	set_type(p, "DM_verity_hash");
	set_uuid(p, head + 16);
	p->block_size = num_get_le32(head + 68);
	if (has(head, 32, "sha256", 7) && num_get_le32(head + 64) == VERITY_BLOCK &&
		p->block_size == VERITY_BLOCK && blocks < UINT64_MAX / VERITY_BLOCK / 2) {
		p->size = p->used = verity_size(blocks * VERITY_BLOCK);
		p->usage_known = true;
	}
	return true;
}

static bool is_power_of_2(uint32_t v)
{
	return v > 0 && (v & (v - 1)) == 0;
}

/* FAT12, 16 and 32 differ in where serial and label are. */
static bool probe_vfat(const uint8_t *head, struct probe *p)
{
	bool fat32 = has(head, 82, "FAT32   ", 8), fat16 = has(head, 54, "FAT1", 4);
	const uint8_t *tail = head + (fat32 ? 67 : 39); /* serial, label */
	uint32_t sector = num_get_le16(head + 11), sectors = num_get_le16(head + 19), serial;

	if (num_get_le16(head + 510) != 0xaa55 || !(fat16 || fat32) || !is_power_of_2(sector) ||
		sector < 512 || sector > 4096 || !is_power_of_2(head[13]))
		return false;
	set_type(p, "vfat");
	p->block_size = (uint64_t)sector * head[13];
	p->size = (uint64_t)(sectors ? sectors : num_get_le32(head + 32)) * sector;
	serial = num_get_le32(tail);
	snprintf(p->uuid, sizeof(p->uuid), "%04X-%04X", serial >> 16, serial & 0xffff);
	if (!has(tail, 4, "NO NAME    ", 11))
		set_label(p, tail + 4, 11);
	return true;
}

static bool probe_ntfs(const uint8_t *head, struct probe *p)
{
	if (!has(head, 3, "NTFS    ", 8) || num_get_le16(head + 510) != 0xaa55)
		return false;
	set_type(p, "ntfs");
	p->block_size = (uint64_t)num_get_le16(head + 11) * head[13];
	if (num_mul(num_get_le64(head + 40), num_get_le16(head + 11), &p->size))
		p->size = 0;
	snprintf(p->uuid, sizeof(p->uuid), "%08X%08X", num_get_le32(head + 76),
		num_get_le32(head + 72));
	return true;
}

/* Features of ext4 alone make it one; else it is ext3 with a journal and ext2 without. */
static const char *ext_type(const uint8_t *sb)
{
	uint32_t compat = num_get_le32(sb + 92), incompat = num_get_le32(sb + 96);
	uint32_t ro_compat = num_get_le32(sb + 100);
	enum { HAS_JOURNAL = 0x4, EXT3_INCOMPAT = 0x2 | 0x4 | 0x10, EXT3_RO_COMPAT = 0x1 | 0x2 | 0x4 };

	if ((incompat & ~(uint32_t)EXT3_INCOMPAT) || (ro_compat & ~(uint32_t)EXT3_RO_COMPAT))
		return "ext4";
	return compat & HAS_JOURNAL ? "ext3" : "ext2";
}

static bool probe_ext(const uint8_t *head, struct probe *p)
{
	const uint8_t *sb = head + 1024;
	enum { INCOMPAT_64BIT = 0x80, INCOMPAT_JOURNAL_DEV = 0x8 };
	uint64_t blocks = num_get_le32(sb + 4);
	uint32_t shift = num_get_le32(sb + 24);

	if (num_get_le16(sb + 56) != 0xef53 || shift > 6 ||
		(num_get_le32(sb + 96) & INCOMPAT_JOURNAL_DEV))
		return false;
	if (num_get_le32(sb + 96) & INCOMPAT_64BIT)
		blocks |= (uint64_t)num_get_le32(sb + 336) << 32;
	set_type(p, ext_type(sb));
	set_uuid(p, sb + 104);
	set_label(p, sb + 120, 16);
	p->block_size = UINT64_C(1024) << shift;
	if (num_mul(blocks, p->block_size, &p->size))
		p->size = 0;
	return true;
}

/* Behind the checksum, offset and version of a superblock at 4 KiB (bcache_ondisk.h, bcachefs_format.h). */
static bool probe_bcache(const uint8_t *head, struct probe *p)
{
	enum { MAGIC_OFF = 4096 + 24 };

	if (has(head, MAGIC_OFF, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", 16))
		set_type(p, "bcache");
	else if (has(head, MAGIC_OFF, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", 16))
		set_type(p, "bcachefs");
	return p->type[0];
}

static bool (*const probes[])(const uint8_t *head, struct probe *p) = {
	probe_luks, probe_verity, probe_xfs, probe_squashfs, probe_f2fs, probe_ext, probe_btrfs,
	probe_swap, probe_lvm, probe_iso, probe_ntfs, probe_vfat, probe_bcache,
};

/*
 * A pool's uberblocks: 128 KiB of slots of at least 1 KiB in the label at the device's start, behind 128 KiB
 * (ZFS On-Disk Specification, 1.2 and 1.3), in the byte order of who made it.
 */
static int look_for_zfs(struct dev *dev, bool *found, struct error *err)
{
	enum { AT = 128 << 10, LEN = 128 << 10, SLOT = 1024 };
	static const uint8_t magic[2][8] = {{0x0c, 0xb1, 0xba}, {0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c}};
	CLEANUP_FREE uint8_t *slots = NULL;

	*found = false;
	if (dev->size < AT + LEN)
		return 0;
	slots = malloc(LEN);
	if (!slots)
		return error_nomem(err, "the start of a file system");
	if (dev_pread(dev, slots, LEN, AT, err) < 0)
		return -1;
	for (size_t at = 0; at < LEN && !*found; at += SLOT)
		*found = !memcmp(slots + at, magic[0], 8) || !memcmp(slots + at, magic[1], 8);
	return 0;
}

/* Whether another one than the first was there as well, be it before or since. */
static bool has_another(const uint8_t *head, size_t first)
{
	struct probe other = {0};

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		if (i != first && probes[i](head, &other))
			return true;
	return false;
}

static int add_ext_usage(struct dev *dev, struct probe *p, struct error *err)
{
	struct ext4_usage usage;

	if (ext4_probe_usage(dev, NULL, NULL, &usage, err) < 0)
		return -1;
	if (usage.known) {
		p->size = usage.size;
		p->used = usage.used;
	}
	p->usage_known = usage.known;
	return 0;
}

static int add_vfat_usage(struct dev *dev, struct probe *p, struct error *err)
{
	struct vfat_usage usage;

	if (vfat_probe_usage(dev, NULL, NULL, &usage, err) < 0)
		return -1;
	p->used = usage.used;
	p->usage_known = usage.known;
	return 0;
}

static int add_usage(struct dev *dev, struct probe *p, struct error *err)
{
	if (strcmp(p->type, "vfat") == 0)
		return add_vfat_usage(dev, p, err);
	return strncmp(p->type, "ext", 3) == 0 ? add_ext_usage(dev, p, err) : 0;
}

int probe_dev(struct dev *dev, struct probe *out, struct error *err)
{
	CLEANUP_FREE uint8_t *head = calloc(1, HEAD);
	bool found, zfs;

	memset(out, 0, sizeof(*out));
	if (raid_probe(dev, out, &found, err) < 0 || found)
		return found ? 0 : -1;
	if (!head)
		return error_nomem(err, "the start of a file system");
	if (dev_pread(dev, head, MIN(dev->size, HEAD), 0, err) < 0 || look_for_zfs(dev, &zfs, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(probes) && !out->type[0]; i++)
		if (probes[i](head, out))
			out->doubtful = zfs || has_another(head, i);
	if (!out->type[0] && zfs)
		set_type(out, "zfs_member");
	return out->doubtful ? 0 : add_usage(dev, out, err);
}
