/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fs/partition*.c share. */
#ifndef AMIWRIGHT_FS_PARTITION_INTERNAL_H
#define AMIWRIGHT_FS_PARTITION_INTERNAL_H

#include "fs/partition.h"

enum { PARTITION_SECTOR = 512 };

/* A GPT's first sectors (protective MBR, header, 128 entries) and its last (entries, header). */
enum { PARTITION_GPT_HEAD = 34 * PARTITION_SECTOR, PARTITION_GPT_TAIL = 33 * PARTITION_SECTOR };

/* MBR: four entries of 16 bytes behind the boot code and the disk signature. */
enum {
	MBR_SIGNATURE = 440,
	MBR_ENTRIES = 446,
	MBR_ENTRY = 16,
	MBR_NR = 4,
	MBR_MAGIC = 510,
	MBR_PROTECTIVE = 0xee,
};

/* Appends a copy of p. */
int partition_table_add(struct partition_table *t, const struct partition *p, struct error *err)
	MUST_CHECK;

/*
 * Both fill an empty table; kind stays NONE when the device holds no table of theirs. A GPT that is not
 * protected sets gpt_ignored alone; partition_gpt_unprotected() says then what is to be said of it.
 */
int partition_gpt_read(struct dev *dev, struct partition_table *t, struct error *err) MUST_CHECK;
int partition_mbr_read(struct dev *dev, struct partition_table *t, struct error *err) MUST_CHECK;
int partition_gpt_unprotected(struct dev *dev, struct error *err) MUST_CHECK;

/*
 * Whether the first sector leads to a GPT: an entry of type 0xee from sector 1 on. Without one Linux
 * (block/partitions/efi.c, unless booted with `gpt`) and EDK2 do not look for it; libfdisk is content with the type.
 */
int partition_mbr_protects(struct dev *dev, bool *protects, struct error *err) MUST_CHECK;

/* Sets `hybrid` of the partitions of a GPT that its MBR has too. */
int partition_mbr_mark(struct dev *dev, struct partition_table *t, struct error *err) MUST_CHECK;

/* For partition_write(), which has checked the table. */
int partition_gpt_write(struct dev *dev, const struct partition_table *table, struct error *err)
	MUST_CHECK;
int partition_mbr_write(struct dev *dev, const struct partition_table *table, struct error *err)
	MUST_CHECK;
/* Puts the mirrored partitions into the MBR of a GPT that was written. */
int partition_hybrid_write(struct dev *dev, const struct partition_table *table, struct error *err)
	MUST_CHECK;

/* Its type in an MBR; 0: there is none. */
uint8_t partition_entry_type(const struct partition *p);
/* Whether a hybrid table has it in its MBR too. */
bool partition_is_mirrored(const struct partition_table *t, const struct partition *p);

#endif
