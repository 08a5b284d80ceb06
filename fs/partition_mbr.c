/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading MBR partition tables: four entries of 16 bytes at 446 of the first sector, 0x55 0xaa
 * behind them; an extended partition holds a chain of sectors of the same form, whose first entry
 * is a logical partition (relative to the sector itself) and whose second leads to the next link
 * (relative to the extended partition). We walk it ourselves: libfdisk would want the whole disk in
 * its file.
 */
#include "fs/partition_internal.h"

#include <string.h>

#include "base/num.h"

struct mbr_entry {
	bool active, extended;
	uint8_t type;        /* 0: empty */
	uint64_t start, len; /* bytes; start relative as said above */
};

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/*
 * False when the bytes cannot be an entry: a boot sector of a file system has other things there.
 */
static bool parse_entry(const uint8_t *p, struct mbr_entry *out)
{
	out->active = p[0] == 0x80;
	out->type = p[4];
	out->extended = is_extended(p[4]);
	out->start = (uint64_t)num_get_le32(p + 8) * PARTITION_SECTOR;
	out->len = (uint64_t)num_get_le32(p + 12) * PARTITION_SECTOR;
	if (out->len == 0)
		out->type = 0;
	return p[0] == 0 || p[0] == 0x80;
}

/*
 * The boot sector of a FAT file system on the whole disk has the same magic, and code for entries.
 */
static bool is_fat(const uint8_t *sector)
{
	return memcmp(sector + 54, "FAT1", 4) == 0 || memcmp(sector + 82, "FAT32", 5) == 0;
}

/* 1: *entries are good; 0: not a table; -1: error. */
static int read_sector(struct dev *dev, uint64_t off, struct mbr_entry entries[MBR_NR],
	struct error *err)
{
	uint8_t sector[PARTITION_SECTOR];

	if (off > dev->size || dev->size - off < sizeof(sector))
		return 0;
	if (dev_pread(dev, sector, sizeof(sector), off, err) < 0)
		return -1;
	if (num_get_le16(sector + MBR_MAGIC) != 0xaa55 || is_fat(sector))
		return 0;
	for (int i = 0; i < MBR_NR; i++)
		if (!parse_entry(sector + MBR_ENTRIES + i * MBR_ENTRY, &entries[i]))
			return 0;
	return 1;
}

static int add_entry(struct dev *dev, struct partition_table *t, const struct mbr_entry *e,
	uint64_t base, uint32_t number, struct error *err)
{
	struct partition p = {.off = base + e->start, .len = e->len, .mbr_type = e->type,
		.bootable = e->active, .number = number};

	if (p.off == 0 || p.off > dev->size || p.len > dev->size - p.off)
		return error_set(err, ERROR_INPUT, 0,
			"MBR partition at %llu of %llu bytes lies outside a disk of %llu bytes (is it a whole image?)",
			(unsigned long long)p.off, (unsigned long long)p.len,
			(unsigned long long)dev->size);
	return partition_table_add(t, &p, err);
}

/* Links must lead on, so that a chain that bites its tail ends. */
static int read_logical(struct dev *dev, struct partition_table *t, uint64_t base, uint32_t *next, struct error *err)
{
	uint64_t at = base;

	for (;;) {
		struct mbr_entry entries[MBR_NR];
		int r = read_sector(dev, at, entries, err);

		if (r < 0)
			return -1;
		if (r == 0)
			return error_set(err, ERROR_INPUT, 0,
				"damaged MBR: no table at %llu, where an extended partition goes on",
				(unsigned long long)at);
		if (entries[0].type != 0 && add_entry(dev, t, &entries[0], at, (*next)++, err) < 0)
			return -1;
		if (entries[1].type == 0)
			return 0;
		if (base + entries[1].start <= at || t->nr >= PARTITION_MAX)
			return error_set(err, ERROR_INPUT, 0,
				"damaged MBR: the chain of logical partitions does not end");
		at = base + entries[1].start;
	}
}

/* A protective MBR without a GPT in the second sector of 512 bytes. */
static int no_gpt(struct dev *dev, struct error *err)
{
	enum { LARGE_SECTOR = 4096 };
	char magic[8] = "";

	if (dev->size >= LARGE_SECTOR + sizeof(magic) &&
		dev_pread(dev, magic, sizeof(magic), LARGE_SECTOR, err) < 0)
		return -1;
	if (memcmp(magic, "EFI PART", sizeof(magic)) == 0)
		return error_set(err, ERROR_INPUT, 0,
			"its GUID partition table is for sectors of 4096 bytes, and EC2's volumes have sectors of 512: "
			"no machine would find the partitions there");
	return error_set(err, ERROR_INPUT, 0,
		"damaged GUID partition table: a protective MBR, but no primary header");
}

int partition_mbr_read(struct dev *dev, struct partition_table *t, struct error *err)
{
	struct mbr_entry entries[MBR_NR];
	uint32_t next = MBR_NR + 1; /* logical one */
	int r = read_sector(dev, 0, entries, err);

	if (r <= 0)
		return r;
	for (int i = 0; i < MBR_NR; i++) {
		if (entries[i].type == 0)
			continue;
		if (entries[i].type == MBR_PROTECTIVE)
			return t->gpt_ignored ? 0 : no_gpt(dev, err);
		if (add_entry(dev, t, &entries[i], 0, (uint32_t)i + 1, err) < 0)
			return -1;
	}
	/* Logical partitions are numbered from 5 on, however few primary ones there are. */
	for (int i = 0; i < MBR_NR; i++)
		if (entries[i].extended && entries[i].type != 0 &&
			read_logical(dev, t, entries[i].start, &next, err) < 0)
			return -1;
	if (t->nr > 0)
		t->kind = PARTITION_TABLE_MBR;
	return 0;
}

int partition_mbr_protects(struct dev *dev, bool *protects, struct error *err)
{
	enum { TYPE = 4, START = 8 };
	uint8_t sector[PARTITION_SECTOR];

	*protects = false;
	if (dev_pread(dev, sector, sizeof(sector), 0, err) < 0)
		return -1;
	for (int i = 0; num_get_le16(sector + MBR_MAGIC) == 0xaa55 && i < MBR_NR; i++) {
		const uint8_t *entry = sector + MBR_ENTRIES + i * MBR_ENTRY;

		*protects |= entry[TYPE] == MBR_PROTECTIVE && num_get_le32(entry + START) == 1;
	}
	return 0;
}

int partition_mbr_mark(struct dev *dev, struct partition_table *t, struct error *err)
{
	struct mbr_entry entries[MBR_NR];
	int r = read_sector(dev, 0, entries, err);

	for (int i = 0; r == 1 && i < MBR_NR; i++) {
		if (entries[i].type == 0 || entries[i].type == MBR_PROTECTIVE)
			continue;
		for (size_t j = 0; j < t->nr; j++) {
			if (t->parts[j].off != entries[i].start || t->parts[j].len != entries[i].len)
				continue;
			t->parts[j].hybrid = true;
			t->parts[j].bootable = entries[i].active;
			t->parts[j].mbr_type = entries[i].type;
		}
	}
	return r < 0 ? -1 : 0;
}
