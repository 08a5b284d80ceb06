/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUID partition tables by libfdisk on a memfd: protective MBR, primary and backup table, 1 MiB
 * alignment, given GUIDs (nothing random). And reading back of GPT and MBR tables.
 * Source: UEFI Specification 2.10, chapter 5.
 */
#ifndef AMIWRIGHT_FS_PARTITION_H
#define AMIWRIGHT_FS_PARTITION_H

#include "base/dev.h"

enum { PARTITION_NAME_MAX = 36, PARTITION_MAX = 128, PARTITION_MBR_MAX = 4, PARTITION_ALIGN = 1 << 20,
	PARTITION_ID_TEXT = 48 };

struct partition {
	uint64_t off, len;  /* bytes */
	uint8_t type[16];   /* type GUID, bytes in text order */
	uint8_t uuid[16];   /* unique GUID, bytes in text order */
	uint8_t mbr_type;   /* for MBR tables when read */
	char name[PARTITION_NAME_MAX * 4 + 1]; /* UTF-8, at most 36 UTF-16 units */
	uint64_t attrs;     /* GPT attribute bits */
	bool bootable;      /* MBR active flag when read */
};

enum partition_table_kind {
	PARTITION_TABLE_NONE, PARTITION_TABLE_GPT, PARTITION_TABLE_MBR, PARTITION_TABLE_HYBRID,
};

struct partition_table {
	enum partition_table_kind kind;
	uint8_t guid[16]; /* disk GUID, bytes in text order */
	struct partition *parts; /* owned */
	size_t nr;
};

void partition_table_release(struct partition_table *t);

/*
 * Type GUID and name for messages by the spec's short name and architecture ("x86_64", "arm64"),
 * from the UAPI Discoverable Partitions Specification: root, root-verity, esp, xbootldr, swap,
 * home, srv, var, linux (generic data), bios-boot. A GUID in text form is taken as it is.
 * ERROR_USAGE lists the known names.
 */
int partition_type(const char *name, const char *architecture, uint8_t out[16], struct error *err)
	MUST_CHECK;
/* The short name of a type GUID ("root-x86-64" …), or NULL. */
const char *partition_type_name(const uint8_t type[16]);

/*
 * "PARTUUID=…" of a partition as fstab, blkid and the kernel have it: the GUID, or signature and
 * number of an MBR.
 */
void partition_id_text(const struct partition_table *t, size_t index, char out[PARTITION_ID_TEXT]);

/* What is asked for one partition. */
struct partition_request {
	const char *name;   /* GPT label */
	uint64_t size;      /* bytes, rounded up to 1 MiB; 0: rest (at most one of them) */
	uint64_t min_size;  /* for rest: what its content needs */
};

/*
 * Places requests one after another from 1 MiB on, aligned to 1 MiB, for a disk of disk_size bytes;
 * fills off and len of parts[i]. The last MiB is for the backup table. ERROR_INPUT when they do not
 * fit, naming the partition, what it needs and what there is. disk_size 0: *needed says the least
 * size instead (rest takes its min_size).
 */
int partition_layout(const struct partition_request *req, size_t nr, uint64_t disk_size,
	struct partition *parts, uint64_t *needed, struct error *err) MUST_CHECK;

/* Writes protective MBR, both GPTs. Only the sectors of the tables become data. */
int partition_write(struct dev *dev, const struct partition_table *table, struct error *err)
	MUST_CHECK;

/*
 * Reads whatever table is there; kind NONE when there is none. A damaged GPT is ERROR_INPUT.
 * Logical sectors of 512 bytes.
 */
int partition_read(struct dev *dev, struct partition_table *table, struct error *err) MUST_CHECK;

#endif
