/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partition tables, written with given ids (nothing random) and read back, partitions at whole MiB:
 *
 *   GPT     by libfdisk on a memfd: protective MBR, primary and backup table
 *   MBR     up to four primary partitions; a boot loader's core lies in the gap before the first
 *   hybrid  a GPT whose MBR also has up to three of its partitions, for BIOSes and boot loaders
 *           that know no GPT (PV-GRUB of old). The MBR's first entry is a protective one (0xee)
 *           over the GPT's header and entries, so that systems that know GPT take the GPT.
 *
 * The first 440 bytes of the disk are a boot loader's: writing a table leaves what is there.
 * Source: UEFI Specification 2.10, chapter 5 (5.2.1: MBR, 5.2.3: protective MBR).
 */
#ifndef AMIWRIGHT_FS_PARTITION_H
#define AMIWRIGHT_FS_PARTITION_H

#include "base/dev.h"

enum { PARTITION_NAME_MAX = 36, PARTITION_MAX = 128, PARTITION_ALIGN = 1 << 20 };

struct partition {
	uint64_t off, len;  /* bytes */
	uint8_t type[16];   /* type GUID, bytes in text order */
	uint8_t uuid[16];   /* unique GUID, bytes in text order */
	uint8_t mbr_type;   /* MBR tables: when read; when written 0 derives it from type */
	char name[PARTITION_NAME_MAX * 4 + 1]; /* UTF-8, at most 36 UTF-16 units */
	uint64_t attrs;     /* GPT attribute bits */
	bool bootable;      /* active flag of its MBR entry */
	bool hybrid;        /* hybrid tables: also in the MBR */
	uint32_t number;    /* the kernel's, when read: an entry's, an MBR's logical ones from 5 on; else 0 */
};

/* A hybrid table is read as a GPT whose mirrored partitions have `hybrid` set. */
enum partition_table_kind {
	PARTITION_TABLE_NONE,
	PARTITION_TABLE_GPT,
	PARTITION_TABLE_MBR,
	PARTITION_TABLE_HYBRID,
};

enum { PARTITION_MBR_MAX = 4, PARTITION_HYBRID_MAX = 3 };

struct partition_table {
	enum partition_table_kind kind;
	uint8_t guid[16]; /* disk GUID, bytes in text order; an MBR has its first 4 bytes as signature */
	struct partition *parts; /* owned */
	size_t nr;
	bool gpt_ignored; /* when read: a GPT is there too, without a protective entry in the first sector */
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
/* The type of an MBR for a type GUID: 0x83 for what Linux mounts, 0 when an MBR has none for it. */
uint8_t partition_mbr_type(const uint8_t type[16]);

/*
 * What the kernel calls PARTUUID of a partition that is written with this table: its GUID, or
 * "SIGNATURE-NN" of an MBR. Lower case.
 */
enum { PARTITION_ID_TEXT = 37 };
void partition_id_text(const struct partition_table *t, size_t index, char out[PARTITION_ID_TEXT]);

/* What is asked for one partition. */
struct partition_request {
	const char *name;   /* GPT label */
	uint64_t size;      /* bytes, rounded up to 1 MiB; 0: rest (at most one of them) */
	uint64_t min_size;  /* for rest: what its content needs */
};

/*
 * Places requests one after another from 1 MiB on, aligned to 1 MiB, for a disk of disk_size bytes;
 * fills off and len of parts[i]. The last MiB is for the backup table; behind an MBR's partitions
 * there is nothing. ERROR_INPUT when they do not fit, naming the partition, what it needs and what
 * there is (other limits are those of partition_check()). disk_size 0: *needed says the least size instead
 * (rest takes its min_size).
 */
int partition_layout(enum partition_table_kind kind, const struct partition_request *req,
	size_t nr, uint64_t disk_size, struct partition *parts, uint64_t *needed, struct error *err)
	MUST_CHECK;

/*
 * Whether a table of t's kind can hold partition `index`: its name, its type, and, once its len is
 * known, where it ends. ERROR_INPUT names it and says what would do.
 */
int partition_check(const struct partition_table *t, size_t index, struct error *err) MUST_CHECK;
/* The name alone: UTF-8 of the basic plane, at most 36 characters, none of them a control one. */
int partition_check_name(const char *name, struct error *err) MUST_CHECK;
/* How many partitions it has, how many are bootable, how many a hybrid one mirrors. */
int partition_check_table(const struct partition_table *t, struct error *err) MUST_CHECK;

/*
 * Writes the table: GPT, MBR or hybrid by its kind. Only the sectors of the tables become data. A
 * hybrid mirrors the partitions with `hybrid`, or those that are bootable when none has it, in
 * their order. What partition_check() and partition_check_table() refuse is ERROR_INPUT.
 */
int partition_write(struct dev *dev, const struct partition_table *table, struct error *err)
	MUST_CHECK;

/*
 * Reads whatever table is there; kind NONE when there is none. A damaged GPT is ERROR_INPUT. So is one
 * that nobody finds, for want of a protective entry in the first sector; the partitions of an MBR that is
 * there instead are what Linux and UEFI's firmware take, and are read. Logical sectors of 512 bytes.
 */
int partition_read(struct dev *dev, struct partition_table *table, struct error *err) MUST_CHECK;

#endif
