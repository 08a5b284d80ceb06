/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the first sector's partition table: an MBR of its own, or a hybrid one beside a GPT.
 *
 *   0      440 bytes of a boot loader, left as they are
 *   440    disk signature, 4 bytes; 2 of zero
 *   446    four entries: active (0x80), first CHS, type, last CHS, first sector, sectors
 *   510    0x55 0xaa
 *
 * CHS addresses are those of a disk of 255 heads and 63 sectors, at their limit beyond it, as every
 * tool writes them; nothing that boots today reads them.
 */
#include "fs/partition.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "fs/partition_internal.h"

enum { HEADS = 255, SECTORS = 63, CYLINDERS = 1024, MBR_ACTIVE = 0x80 };

static void put_chs(uint8_t *p, uint64_t lba)
{
	uint64_t cylinder = lba / (HEADS * SECTORS);

	if (cylinder >= CYLINDERS) {
		memcpy(p, "\xfe\xff\xff", 3);
		return;
	}
	p[0] = (uint8_t)(lba / SECTORS % HEADS);
	p[1] = (uint8_t)((lba % SECTORS + 1) | (cylinder >> 8 << 6));
	p[2] = (uint8_t)cylinder;
}

static void put_entry(uint8_t *p, bool active, uint8_t type, uint64_t lba, uint64_t sectors)
{
	p[0] = active ? MBR_ACTIVE : 0;
	put_chs(p + 1, lba);
	p[4] = type;
	put_chs(p + 5, lba + sectors - 1);
	num_put_le32(p + 8, (uint32_t)lba);
	num_put_le32(p + 12, (uint32_t)sectors);
}

static void put_partition(uint8_t *entry, const struct partition *p)
{
	put_entry(entry, p->bootable, partition_entry_type(p), p->off / PARTITION_SECTOR,
		p->len / PARTITION_SECTOR);
}

/* The disk GUID's first 8 digits, read as one number; 0 would be no signature. */
static uint32_t signature(const struct partition_table *t)
{
	uint32_t v = (uint32_t)t->guid[0] << 24 | (uint32_t)t->guid[1] << 16 |
		(uint32_t)t->guid[2] << 8 | t->guid[3];

	return v ? v : 1;
}

void partition_id_text(const struct partition_table *t, size_t index, char out[PARTITION_ID_TEXT])
{
	if (t->kind == PARTITION_TABLE_MBR)
		snprintf(out, PARTITION_ID_TEXT, "%08x-%02x", (unsigned)signature(t),
			(unsigned)(index + 1) & 0xff);
	else
		uuid_format(out, t->parts[index].uuid);
}

static int check_place(const struct partition_table *t, size_t index, uint64_t disk_size,
	struct error *err)
{
	const struct partition *p = &t->parts[index];
	uint64_t end;

	if (p->off % PARTITION_SECTOR != 0 || p->len % PARTITION_SECTOR != 0 || p->len == 0 ||
		p->off < PARTITION_ALIGN || num_add(p->off, p->len, &end) || end > disk_size)
		return error_set(err, ERROR_INPUT, 0,
			"partition '%s' at %llu of %llu bytes does not lie in whole sectors between "
			"1 MiB and the end of a disk of %llu bytes",
			p->name, (unsigned long long)p->off, (unsigned long long)p->len,
			(unsigned long long)disk_size);
	for (size_t i = 0; i < index; i++)
		if (p->off < t->parts[i].off + t->parts[i].len && t->parts[i].off < end)
			return error_set(err, ERROR_INPUT, 0, "partitions '%s' and '%s' overlap",
				t->parts[i].name, p->name);
	return 0;
}

/* Puts the bytes from the signature on; the boot code before it is read and written back. */
static int write_sector(struct dev *dev, const uint8_t entries[MBR_NR * MBR_ENTRY], uint32_t id,
	struct error *err)
{
	uint8_t sector[PARTITION_SECTOR];

	if (dev_pread(dev, sector, sizeof(sector), 0, err) < 0)
		return -1;
	num_put_le32(sector + MBR_SIGNATURE, id);
	num_put_le16(sector + MBR_SIGNATURE + 4, 0);
	memcpy(sector + MBR_ENTRIES, entries, MBR_NR * MBR_ENTRY);
	num_put_le16(sector + MBR_MAGIC, 0xaa55);
	return dev_pwrite(dev, sector, sizeof(sector), 0, err);
}

int partition_mbr_write(struct dev *dev, const struct partition_table *table, struct error *err)
{
	uint8_t entries[MBR_NR * MBR_ENTRY] = {0};

	for (size_t i = 0; i < table->nr; i++) {
		if (check_place(table, i, dev->size, err) < 0)
			return -1;
		put_partition(entries + i * MBR_ENTRY, &table->parts[i]);
	}
	return write_sector(dev, entries, signature(table), err);
}

/*
 * The protective entry ends before the first partition of the MBR: entries must not overlap, or
 * tools that know only MBRs would call the table damaged.
 */
int partition_hybrid_write(struct dev *dev, const struct partition_table *table, struct error *err)
{
	uint8_t entries[MBR_NR * MBR_ENTRY] = {0};
	uint8_t *entry = entries;
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < table->nr; i++) {
		const struct partition *p = &table->parts[i];

		if (!partition_is_mirrored(table, p))
			continue;
		entry += MBR_ENTRY;
		put_partition(entry, p);
		first = MIN(first, p->off / PARTITION_SECTOR);
	}
	put_entry(entries, false, MBR_PROTECTIVE, 1, first - 1);
	return write_sector(dev, entries, signature(table), err);
}
