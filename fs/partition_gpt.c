/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUID partition tables by libfdisk. It works on a memfd as large as the disk, nearly all of which
 * is a hole; only the sectors of the tables travel between the memfd and the device:
 *
 *   LBA 0         protective MBR
 *   LBA 1         primary header
 *   LBA 2..33     128 entries of 128 bytes
 *   ...           partitions, from 1 MiB on
 *   LBA -33..-2   the entries again
 *   LBA -1        backup header
 */
#include "fs/partition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <libfdisk/libfdisk.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/num.h"
#include "fs/partition_internal.h"

DEFINE_CLEANUP(fdisk, struct fdisk_context, fdisk_unref_context)
DEFINE_CLEANUP(fdisk_table, struct fdisk_table, fdisk_unref_table)
DEFINE_CLEANUP(fdisk_part, struct fdisk_partition, fdisk_unref_partition)
DEFINE_CLEANUP(fdisk_type, struct fdisk_parttype, fdisk_unref_parttype)

static const char scratch_name[] = "partition table";

static int scratch_new(uint64_t size, struct error *err)
{
	int fd = memfd_create(scratch_name, MFD_CLOEXEC);

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a memory file");
	if (ftruncate(fd, (off_t)size) == 0)
		return fd;
	error_set(err, ERROR_IO, errno, "cannot make a memory file of %llu bytes",
		(unsigned long long)size);
	close(fd);
	return -1;
}

/*
 * Sector size and alignment are given, so that nothing depends on what libfdisk finds out by
 * itself.
 */
static struct fdisk_context *context_new(int fd, struct error *err)
{
	struct fdisk_context *cxt = fdisk_new_context();
	int r;

	if (!cxt)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a partition table");
	r = fdisk_save_user_sector_size(cxt, PARTITION_SECTOR, PARTITION_SECTOR);
	if (r == 0)
		r = fdisk_save_user_grain(cxt, PARTITION_ALIGN);
	if (r == 0)
		r = fdisk_assign_device_by_fd(cxt, fd, scratch_name, 0);
	if (r == 0)
		return cxt;
	fdisk_unref_context(cxt);
	return error_null(err, ERROR_IO, -r, "cannot open a partition table");
}

static int check_partition(const struct partition *p, uint64_t disk_size, struct error *err)
{
	uint64_t end;

	if (p->off % PARTITION_SECTOR != 0 || p->len % PARTITION_SECTOR != 0 || p->len == 0)
		return error_set(err, ERROR_INPUT, 0,
			"partition '%s' does not begin and end at sectors of %d bytes", p->name,
			PARTITION_SECTOR);
	if (p->off < PARTITION_ALIGN || num_add(p->off, p->len, &end) ||
		end > disk_size - PARTITION_GPT_TAIL)
		return error_set(err, ERROR_INPUT, 0,
			"partition '%s' at %llu of %llu bytes does not lie between the tables of a "
			"disk of %llu bytes",
			p->name, (unsigned long long)p->off, (unsigned long long)p->len,
			(unsigned long long)disk_size);
	return 0;
}

static int add_partition(struct fdisk_context *cxt, size_t index, const struct partition *p,
	struct error *err)
{
	CLEANUP(fdisk_part_cleanup) struct fdisk_partition *pa = fdisk_new_partition();
	CLEANUP(fdisk_type_cleanup) struct fdisk_parttype *type = NULL;
	char text[UUID_TEXT_SIZE];
	int r;

	type = fdisk_new_unknown_parttype(0, uuid_format(text, p->type));
	if (!pa || !type)
		return error_nomem(err, "a partition");
	r = fdisk_partition_set_partno(pa, index);
	if (r == 0)
		r = fdisk_partition_set_start(pa, p->off / PARTITION_SECTOR);
	if (r == 0)
		r = fdisk_partition_set_size(pa, p->len / PARTITION_SECTOR);
	if (r == 0)
		r = fdisk_partition_size_explicit(pa, 1);
	if (r == 0)
		r = fdisk_partition_set_type(pa, type);
	if (r == 0)
		r = fdisk_partition_set_name(pa, p->name);
	if (r == 0)
		r = fdisk_partition_set_uuid(pa, uuid_format(text, p->uuid));
	if (r == 0)
		r = fdisk_add_partition(cxt, pa, NULL);
	if (r == 0)
		r = fdisk_gpt_set_partition_attrs(cxt, index, p->attrs);
	if (r < 0)
		return error_set(err, ERROR_INPUT, -r, "cannot add partition '%s' at %llu", p->name,
			(unsigned long long)p->off);
	return 0;
}

static int fill_table(struct fdisk_context *cxt, const struct partition_table *table,
	struct error *err)
{
	char text[UUID_TEXT_SIZE];
	int r = fdisk_create_disklabel(cxt, "gpt");

	if (r == 0)
		r = fdisk_set_disklabel_id_from_string(cxt, uuid_format(text, table->guid));
	if (r < 0)
		return error_set(err, ERROR_IO, -r, "cannot make a GUID partition table");
	for (size_t i = 0; i < table->nr; i++)
		if (add_partition(cxt, i, &table->parts[i], err) < 0)
			return -1;
	r = fdisk_write_disklabel(cxt);
	if (r < 0)
		return error_set(err, ERROR_IO, -r, "cannot write a GUID partition table");
	return 0;
}

static int copy_out(int fd, struct dev *dev, uint64_t off, size_t len, struct error *err)
{
	CLEANUP_FREE void *buf = malloc(len);

	if (!buf)
		return error_nomem(err, "a partition table");
	if (file_pread_all(fd, buf, len, off, scratch_name, err) < 0)
		return -1;
	return dev_pwrite(dev, buf, len, off, err);
}

static int copy_in(struct dev *dev, int fd, uint64_t off, uint64_t len, struct error *err)
{
	CLEANUP_FREE void *buf = malloc(len);

	if (!buf)
		return error_nomem(err, "a partition table");
	if (dev_pread(dev, buf, len, off, err) < 0)
		return -1;
	return file_pwrite_all(fd, buf, len, off, scratch_name, err);
}

/* A boot loader's code in the first sector stays. */
static int keep_boot_code(struct dev *dev, int fd, struct error *err)
{
	uint8_t code[MBR_SIGNATURE];

	if (dev_pread(dev, code, sizeof(code), 0, err) < 0)
		return -1;
	return file_pwrite_all(fd, code, sizeof(code), 0, scratch_name, err);
}

int partition_gpt_write(struct dev *dev, const struct partition_table *table, struct error *err)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP(fdisk_cleanup) struct fdisk_context *cxt = NULL;

	for (size_t i = 0; i < table->nr; i++)
		if (check_partition(&table->parts[i], dev->size, err) < 0)
			return -1;
	fd = scratch_new(dev->size, err);
	if (fd < 0)
		return -1;
	cxt = context_new(fd, err);
	if (!cxt || fill_table(cxt, table, err) < 0)
		return -1;
	if (keep_boot_code(dev, fd, err) < 0 || copy_out(fd, dev, 0, PARTITION_GPT_HEAD, err) < 0)
		return -1;
	return copy_out(fd, dev, dev->size - PARTITION_GPT_TAIL, PARTITION_GPT_TAIL, err);
}

static int read_partition(struct fdisk_context *cxt, struct fdisk_partition *pa,
	struct partition_table *t, struct error *err)
{
	struct partition p = {.off = 0};
	const struct fdisk_parttype *type = fdisk_partition_get_type(pa);
	const char *type_text = type ? fdisk_parttype_get_string(type) : NULL;
	const char *uuid = fdisk_partition_get_uuid(pa), *name = fdisk_partition_get_name(pa);

	if (!fdisk_partition_has_start(pa) || !fdisk_partition_has_size(pa) || !type_text || !uuid ||
		uuid_from_text(p.type, type_text) || uuid_from_text(p.uuid, uuid) ||
		num_mul(fdisk_partition_get_start(pa), PARTITION_SECTOR, &p.off) ||
		num_mul(fdisk_partition_get_size(pa), PARTITION_SECTOR, &p.len) || p.len == 0)
		return error_set(err, ERROR_INPUT, 0, "damaged GUID partition table: entry %zu",
			fdisk_partition_get_partno(pa));
	if (name && strlen(name) < sizeof(p.name))
		memcpy(p.name, name, strlen(name) + 1);
	if (fdisk_gpt_get_partition_attrs(cxt, fdisk_partition_get_partno(pa), &p.attrs) < 0)
		p.attrs = 0;
	p.number = (uint32_t)fdisk_partition_get_partno(pa) + 1;
	return partition_table_add(t, &p, err);
}

static int read_table(struct fdisk_context *cxt, struct partition_table *t, struct error *err)
{
	CLEANUP(fdisk_table_cleanup) struct fdisk_table *tb = NULL;
	CLEANUP_FREE char *id = NULL;
	int r = fdisk_get_disklabel_id(cxt, &id);

	if (r < 0 || uuid_from_text(t->guid, id))
		return error_set(err, ERROR_INPUT, 0, "damaged GUID partition table: bad disk GUID");
	r = fdisk_get_partitions(cxt, &tb);
	if (r < 0)
		return error_set(err, ERROR_INPUT, -r, "damaged GUID partition table");
	t->kind = PARTITION_TABLE_GPT;
	for (size_t i = 0; i < fdisk_table_get_nents(tb); i++)
		if (read_partition(cxt, fdisk_table_get_partition(tb, i), t, err) < 0)
			return -1;
	return 0;
}

/*
 * Bytes from the start of the disk to the end of the primary entries, 0 when there is no GPT
 * header.
 */
static int head_size(struct dev *dev, uint64_t *len, struct error *err)
{
	uint8_t h[PARTITION_SECTOR];
	uint64_t lba, bytes;

	*len = 0;
	if (dev->size < PARTITION_GPT_HEAD + PARTITION_GPT_TAIL)
		return 0;
	if (dev_pread(dev, h, sizeof(h), PARTITION_SECTOR, err) < 0)
		return -1;
	if (memcmp(h, "EFI PART", 8) != 0)
		return 0;
	lba = num_get_le64(h + 72);
	/* Both counts are 32 bits: their product cannot overflow 64. */
	bytes = (uint64_t)num_get_le32(h + 80) * num_get_le32(h + 84);
	if (lba > dev->size / PARTITION_SECTOR || bytes > MIB ||
		lba * PARTITION_SECTOR + bytes > dev->size || lba > 2 * MIB / PARTITION_SECTOR)
		return error_set(err, ERROR_INPUT, 0,
			"damaged GUID partition table: its entries are said to lie at sector %llu",
			(unsigned long long)lba);
	*len = MAX(lba * PARTITION_SECTOR + bytes, PARTITION_GPT_HEAD);
	return 0;
}

/* What libfdisk refuses. The last sector that the header gives to partitions tells of a disk that was cut off. */
static int refused(struct dev *dev, struct error *err)
{
	enum { LAST_USABLE = PARTITION_SECTOR + 48 };
	uint8_t last[8];
	uint64_t least;

	if (dev_pread(dev, last, sizeof(last), LAST_USABLE, err) < 0)
		return -1;
	if (!num_mul(num_get_le64(last), PARTITION_SECTOR, &least) && least >= dev->size && least < INT64_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"damaged GUID partition table: it is for a disk of more than %llu bytes, and this one, of "
			"%llu, was cut off", (unsigned long long)least, (unsigned long long)dev->size);
	return error_set(err, ERROR_INPUT, 0,
		"damaged GUID partition table: a checksum or a limit in its primary header is wrong");
}

/* The table's first sectors in a file of the disk's size; -1: error. */
static int scratch_head(struct dev *dev, uint64_t head, struct error *err)
{
	int fd = scratch_new(dev->size / PARTITION_SECTOR * PARTITION_SECTOR, err);

	if (fd >= 0 && copy_in(dev, fd, 0, head, err) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Only the primary table is looked at, and must be whole: an image that was made larger later has
 * no backup table at its end, and is fine for all that; one whose primary is broken is not.
 */
int partition_gpt_read(struct dev *dev, struct partition_table *t, struct error *err)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP(fdisk_cleanup) struct fdisk_context *cxt = NULL;
	uint64_t head;
	bool protects;

	if (head_size(dev, &head, err) < 0)
		return -1;
	if (head == 0)
		return 0;
	if (partition_mbr_protects(dev, &protects, err) < 0)
		return -1;
	t->gpt_ignored = !protects;
	if (!protects)
		return 0;
	fd = scratch_head(dev, head, err);
	if (fd < 0)
		return -1;
	cxt = context_new(fd, err);
	if (!cxt)
		return -1;
	if (!fdisk_is_label(cxt, GPT))
		return refused(dev, err);
	return read_table(cxt, t, err);
}

/* Whether the protective entry is all that it lacks is found by giving it one, in the copy. */
int partition_gpt_unprotected(struct dev *dev, struct error *err)
{
	CLEANUP_CLOSE int fd = -1;
	CLEANUP(fdisk_cleanup) struct fdisk_context *cxt = NULL;
	uint8_t sector[PARTITION_SECTOR] = {0}, *entry = sector + MBR_ENTRIES;
	uint64_t head;

	entry[4] = MBR_PROTECTIVE;
	num_put_le32(entry + 8, 1);
	num_put_le32(entry + 12, (uint32_t)MIN(dev->size / PARTITION_SECTOR - 1, UINT32_MAX));
	num_put_le16(sector + MBR_MAGIC, 0xaa55);
	if (head_size(dev, &head, err) < 0)
		return -1;
	fd = scratch_head(dev, head, err);
	if (fd < 0 || file_pwrite_all(fd, sector, sizeof(sector), 0, scratch_name, err) < 0)
		return -1;
	cxt = context_new(fd, err);
	if (!cxt)
		return -1;
	return !fdisk_is_label(cxt, GPT) ? refused(dev, err) : error_set(err, ERROR_INPUT, 0,
		"its GUID partition table is whole, but the first sector has no protective entry (type 0xee, from "
		"sector 1): Linux and UEFI pass over such a table, and find no partitions; gdisk writes one to the "
		"raw disk (its command w)");
}
