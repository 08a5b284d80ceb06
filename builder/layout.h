/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the spec's disks say, seen as a layout: how a table is filled, and what a machine could boot
 * from it. Pure sums over the spec: the checks before all work and the plan ask the same functions,
 * so that they cannot differ. Fields of a spec with mistakes may be NULL.
 */
#ifndef AMIWRIGHT_BUILDER_LAYOUT_H
#define AMIWRIGHT_BUILDER_LAYOUT_H

#include "builder/spec.h"
#include "fs/partition.h"

/* The kind that the spec's word names; NULL is none. */
enum partition_table_kind layout_table_kind(const char *name);
/* Bytes of a percentage of a disk, whole MiB. */
uint64_t layout_percent(uint64_t disk_size, uint64_t percent);
/* ERROR_INPUT for more than a volume can have. */
int layout_check_disk_size(uint64_t size, struct error *err) MUST_CHECK;

/* True for a partition of this type, be it written as its name or as its GUID. */
bool layout_is_type(const struct spec *s, const struct spec_partition *p, const char *type);
/*
 * Name, type and flags of the table's entry; its place, its GUID stay zero. The root partition is the
 * bootable one of an MBR. ERROR_USAGE for an unknown type.
 */
int layout_entry(const struct spec *s, const struct spec_disk *disk, size_t index,
	struct partition *out, struct error *err) MUST_CHECK;

/* What the layout offers to a boot loader. Partitions are those of the root disk, the first of each. */
struct layout {
	const struct spec_disk *root_disk;  /* NULL: nothing is mounted at / */
	const struct spec_partition *root;  /* NULL also when the root file system has no partition */
	const char *root_fs;                /* its type */
	const char *boot_fs;                /* type of the file system that holds /boot, root's or its own */
	bool own_boot;
	const struct spec_partition *esp, *xbootldr, *bios_boot, *verity;
	bool esp_elsewhere, bios_boot_elsewhere; /* another disk has one */
	bool gap;                           /* behind an MBR */
};

/* Fills out, which borrows from s. */
void layout_look(const struct spec *s, struct layout *out);

/* Whether there is a place for GRUB's core, for BIOS; ERROR_INPUT says what to add. */
int layout_check_core(const struct layout *l, struct error *err) MUST_CHECK;
/* The same for what UEFI starts. */
int layout_check_esp(const struct layout *l, struct error *err) MUST_CHECK;
/* Whether GRUB can find /boot, by the uuid of its file system. */
int layout_check_boot_uuid(const struct layout *l, struct error *err) MUST_CHECK;

#endif
