/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partition types and placement: what does not depend on the form of the table. The tables
 * themselves are in partition_gpt.c and partition_mbr.c.
 */
#include "fs/partition.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/num.h"
#include "fs/partition_internal.h"

/*
 * Names by the UAPI Discoverable Partitions Specification; the rest are the well-known types of the
 * UEFI specification, GRUB and Linux. Where the type depends on the architecture, the spec's name
 * (without it) leads to the row whose arch matches.
 */
static const struct {
	const char *name, *short_name, *arch, *guid;
	uint8_t mbr; /* 0x83 when it is 0 and `no_mbr` is not set */
	bool no_mbr;
} partition_types[] = {
	{"root-x86-64", "root", "x86_64", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", 0, false},
	{"root-arm64", "root", "arm64", "b921b045-1df0-41c3-af44-4c6f280d3fae", 0, false},
	{"root-x86-64-verity", "root-verity", "x86_64", "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5", 0, false},
	{"root-arm64-verity", "root-verity", "arm64", "df3300ce-d69f-4c92-978c-9bfb0f38d820", 0, false},
	{"esp", NULL, NULL, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", 0xef, false},
	{"xbootldr", NULL, NULL, "bc13c2ff-59e6-4262-a352-b275fd6f7172", 0xea, false},
	{"swap", NULL, NULL, "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", 0x82, false},
	{"home", NULL, NULL, "933ac7e1-2eb4-4f13-b844-0e14e2aef915", 0, false},
	{"srv", NULL, NULL, "3b8f8425-20e0-4f3b-907f-1a25a76f98e8", 0, false},
	{"var", NULL, NULL, "4d21b016-b534-45c2-a9fb-5c16e091fd2d", 0, false},
	{"linux", NULL, NULL, "0fc63daf-8483-4772-8e79-3d69d8477de4", 0, false},
	{"data", NULL, NULL, "0fc63daf-8483-4772-8e79-3d69d8477de4", 0, false},
	{"bios-boot", NULL, NULL, "21686148-6449-6e6f-744e-656564454649", 0, true},
	{"lvm", NULL, NULL, "e6d6d379-f507-44c2-a23c-238f2a3df928", 0x8e, false},
	{"raid", NULL, NULL, "a19d880f-05fc-4d3b-a006-743f0f84911e", 0xfd, false},
	{"basic-data", NULL, NULL, "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", 0x0c, false},
};

enum { MBR_LINUX = 0x83 };

void partition_table_release(struct partition_table *t)
{
	free(t->parts);
	memset(t, 0, sizeof(*t));
}

int partition_table_add(struct partition_table *t, const struct partition *p, struct error *err)
{
	/* Tables are small: growing one by one costs nothing that can be measured. */
	struct partition *parts = reallocarray(t->parts, t->nr + 1, sizeof(*parts));

	if (!parts)
		return error_nomem(err, "a partition table");
	t->parts = parts;
	t->parts[t->nr++] = *p;
	return 0;
}

static int unknown_type(const char *name, const char *architecture, struct error *err)
{
	CLEANUP_BUF struct buf known = BUF_INIT(512);

	for (size_t i = 0; i < ARRAY_SIZE(partition_types); i++) {
		const char *shown = partition_types[i].short_name;

		if (!shown)
			shown = partition_types[i].name;
		else if (strcmp(partition_types[i].arch, "x86_64") != 0)
			continue;
		if (buf_addf(&known, err, "%s%s", i > 0 ? ", " : "", shown) < 0)
			return -1;
	}
	return error_set(err, ERROR_USAGE, 0,
		"unknown partition type '%s' for architecture '%s'; known are %s, or a GUID", name,
		architecture, buf_str(&known));
}

int partition_type(const char *name, const char *architecture, uint8_t out[16], struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(partition_types); i++) {
		const char *short_name = partition_types[i].short_name;
		bool match = strcmp(name, partition_types[i].name) == 0;

		if (!match && short_name)
			match = strcmp(name, short_name) == 0 &&
				strcmp(architecture, partition_types[i].arch) == 0;
		if (match)
			return uuid_from_text(out, partition_types[i].guid) ? -1 : 0;
	}
	if (!uuid_from_text(out, name))
		return 0;
	return unknown_type(name, architecture, err);
}

const char *partition_type_name(const uint8_t type[16])
{
	char text[UUID_TEXT_SIZE];

	uuid_format(text, type);
	for (size_t i = 0; i < ARRAY_SIZE(partition_types); i++)
		if (strcmp(text, partition_types[i].guid) == 0)
			return partition_types[i].name;
	return NULL;
}

uint8_t partition_mbr_type(const uint8_t type[16])
{
	char text[UUID_TEXT_SIZE];

	uuid_format(text, type);
	for (size_t i = 0; i < ARRAY_SIZE(partition_types); i++)
		if (strcmp(text, partition_types[i].guid) == 0)
			return partition_types[i].no_mbr ? 0 :
				partition_types[i].mbr   ? partition_types[i].mbr :
							   MBR_LINUX;
	return 0;
}

/* Least size of a partition: what was asked for, whole MiB, never nothing. */
static int least_size(const struct partition_request *req, uint64_t *size, struct error *err)
{
	uint64_t least = req->size > 0 ? req->size : MAX(req->min_size, 1);

	if (num_round_up(least, PARTITION_ALIGN, size))
		return error_set(err, ERROR_INPUT, 0, "partition '%s' is too large", req->name);
	return 0;
}

/* Sums the least sizes, and checks that at most one takes the rest. */
static int sum_requests(const struct partition_request *req, size_t nr, uint64_t *sum,
	struct error *err)
{
	const char *rest = NULL;

	*sum = 0;
	for (size_t i = 0; i < nr; i++) {
		uint64_t size;

		if (req[i].size == 0 && rest)
			return error_set(err, ERROR_INPUT, 0,
				"partitions '%s' and '%s' both want the rest of the disk", rest,
				req[i].name);
		if (req[i].size == 0)
			rest = req[i].name;
		if (least_size(&req[i], &size, err) < 0)
			return -1;
		if (num_add(*sum, size, sum))
			return error_set(err, ERROR_INPUT, 0, "partition '%s' is too large",
				req[i].name);
	}
	return 0;
}

/* What the table has behind the last partition. */
static uint64_t tail(enum partition_table_kind kind)
{
	return kind == PARTITION_TABLE_MBR ? 0 : PARTITION_GPT_TAIL;
}

static int does_not_fit(const char *name, uint64_t need, uint64_t left, uint64_t disk_size,
	uint64_t least_disk, struct error *err)
{
	char text[4][NUM_SIZE_TEXT];

	return error_set(err, ERROR_INPUT, 0,
		"partition '%s' needs %s (%llu bytes), but a disk of %s has %s (%llu bytes) left for "
		"it; the partitions fit on a disk of %s (%llu bytes)",
		name, num_format_size(text[0], need), (unsigned long long)need,
		num_format_size(text[1], disk_size), num_format_size(text[2], left),
		(unsigned long long)left, num_format_size(text[3], least_disk),
		(unsigned long long)least_disk);
}

/*
 * Gives out room: those of fixed size first, in order, then the rest. *rest_size is what remains
 * for the one that takes the rest; the one that does not fit is named.
 */
static int give_out(const struct partition_request *req, size_t nr, uint64_t disk_size,
	uint64_t end, uint64_t least_disk, uint64_t *rest_size, struct error *err)
{
	uint64_t left = end / PARTITION_ALIGN * PARTITION_ALIGN, size;
	size_t rest = nr;

	left = left > PARTITION_ALIGN ? left - PARTITION_ALIGN : 0;
	for (size_t i = 0; i < nr; i++) {
		if (req[i].size == 0) {
			rest = i;
			continue;
		}
		if (least_size(&req[i], &size, err) < 0)
			return -1;
		if (size > left)
			return does_not_fit(req[i].name, size, left, disk_size, least_disk, err);
		left -= size;
	}
	*rest_size = left;
	if (rest == nr)
		return 0;
	if (least_size(&req[rest], &size, err) < 0)
		return -1;
	return size <= left ? 0 : does_not_fit(req[rest].name, size, left, disk_size, least_disk, err);
}

int partition_layout(enum partition_table_kind kind, const struct partition_request *req,
	size_t nr, uint64_t disk_size, struct partition *parts, uint64_t *needed, struct error *err)
{
	uint64_t sum, least_disk, rest_size = 0, off = PARTITION_ALIGN;
	uint64_t end = disk_size > tail(kind) ? disk_size - tail(kind) : 0;

	if (sum_requests(req, nr, &sum, err) < 0)
		return -1;
	/* One MiB before the first partition, one behind the last for the backup table. */
	if (num_add(sum, (tail(kind) > 0 ? 2 : 1) * (uint64_t)PARTITION_ALIGN, &least_disk))
		return error_set(err, ERROR_INPUT, 0, "the partitions are too large together");
	if (needed)
		*needed = least_disk;
	if (disk_size > 0 && give_out(req, nr, disk_size, end, least_disk, &rest_size, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		parts[i].off = off;
		if (req[i].size == 0 && disk_size > 0)
			parts[i].len = rest_size;
		else if (least_size(&req[i], &parts[i].len, err) < 0)
			return -1;
		off += parts[i].len;
	}
	return 0;
}

int partition_write(struct dev *dev, const struct partition_table *table, struct error *err)
{
	if (dev->size < 2 * PARTITION_ALIGN || dev->size % PARTITION_SECTOR != 0)
		return error_set(err, ERROR_INPUT, 0,
			"a disk of %llu bytes holds no partition table: it needs whole sectors and 2 MiB",
			(unsigned long long)dev->size);
	if (partition_check_table(table, err) < 0)
		return -1;
	for (size_t i = 0; i < table->nr; i++)
		if (partition_check(table, i, err) < 0)
			return -1;
	switch (table->kind) {
	case PARTITION_TABLE_GPT:
		return partition_gpt_write(dev, table, err);
	case PARTITION_TABLE_MBR:
		return partition_mbr_write(dev, table, err);
	case PARTITION_TABLE_HYBRID:
		if (partition_gpt_write(dev, table, err) < 0)
			return -1;
		return partition_hybrid_write(dev, table, err);
	case PARTITION_TABLE_NONE:
		break;
	}
	return error_set(err, ERROR_BUG, 0, "a partition table without a kind cannot be written");
}

int partition_read(struct dev *dev, struct partition_table *table, struct error *err)
{
	memset(table, 0, sizeof(*table));
	if (partition_gpt_read(dev, table, err) < 0)
		goto fail;
	if (table->kind == PARTITION_TABLE_GPT && partition_mbr_mark(dev, table, err) < 0)
		goto fail;
	if (table->kind == PARTITION_TABLE_NONE && partition_mbr_read(dev, table, err) < 0)
		goto fail;
	if (table->kind == PARTITION_TABLE_NONE && table->gpt_ignored && partition_gpt_unprotected(dev, err) < 0)
		goto fail;
	return 0;
fail:
	partition_table_release(table);
	return -1;
}
