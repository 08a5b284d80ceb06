/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the plan share. */
#ifndef AMIWRIGHT_BUILDER_PLAN_INTERNAL_H
#define AMIWRIGHT_BUILDER_PLAN_INTERNAL_H

#include "builder/plan.h"

/*
 * Writes /etc/fstab for all file systems with a mount point and for swap, unless the tree has one
 * with entries of its own (then it stays and is checked). Does nothing without a root file system.
 */
int plan_fstab(const struct plan *p, struct tree *t, struct diag *d, struct error *err) MUST_CHECK;
/* Whether a file system gets a line there: not what the initrd mounts for good, nor what has no place. */
bool plan_fstab_has(const struct plan *p, size_t disk, const struct plan_fs *fs);
/* Appends that line, without a newline. */
int plan_fstab_line(const struct plan *p, size_t disk, const struct plan_fs *fs, struct buf *out,
	struct error *err) MUST_CHECK;
/*
 * Holds the text of the tree's own fstab against the plan: what does not fit is a warning, or a
 * mistake in d when the spec is strict.
 */
int plan_fstab_check(const struct plan *p, const char *text, struct diag *d, struct error *err)
	MUST_CHECK;

/*
 * For each partition and disk with `grow: true`: what makes it grow at the first boot, by cloud-init
 * or systemd-repart, whichever the tree has. ERROR_USAGE, noted in d, when it has neither.
 */
int plan_grow(const struct plan *p, struct tree *t, struct diag *d, struct error *err) MUST_CHECK;

/*
 * Ids and file systems of all disks, without sizes; the EFI system partition without mount point
 * gets p->boot.esp_tree.
 */
int plan_init_disks(struct plan *p, struct error *err) MUST_CHECK;
/* Finds or makes the directory of every mount point. */
int plan_mounts(struct plan *p, struct tree *t, struct diag *d, struct error *err) MUST_CHECK;
/* Sizes and places; trees are finished. */
int plan_sizes(struct plan *p, struct diag *d, struct error *err) MUST_CHECK;
/* Boot loader, boot mode and fitness; the tree is finished and needs it again. */
int plan_start(struct plan *p, struct tree *t, struct diag *d, struct error *err) MUST_CHECK;
void plan_boot_release(struct plan_boot *b);

/* 16 bytes that follow from the plan's identity and these texts (part may be NULL). */
int plan_derive(const struct plan *p, const char *device, const char *part, const char *purpose,
	uint8_t out[16], struct error *err) MUST_CHECK;
/* The partition that has this mount point, and its disk; NULL when there is none. */
struct plan_fs *plan_find_mount(const struct plan *p, const char *mount, size_t *disk);
/* How messages call it: by its partition, or by its disk. */
const char *plan_fs_name(const struct plan_disk *disk, const struct plan_fs *fs);
/* "UUID=…", or "PARTUUID=…" of a file system without one: for fstab and the kernel. */
void plan_fs_source(const struct plan *p, size_t disk, const struct plan_fs *fs,
	char out[FS_ID_TEXT]);
/* The mode that the spec names; NULL for auto. */
const char *plan_asked_mode(const struct spec *s);

/*
 * The AMI name from the template; -1 with ERROR_USAGE for an unknown {word} or a name that EC2
 * would refuse. A field of the spec that is NULL gives "" (its absence is a mistake of its own).
 */
int plan_ami_name(const struct spec *s, int64_t epoch, char out[EC2_NAME_SIZE], struct error *err)
	MUST_CHECK;

/* Index of the disk whose file system is mounted at /, else of the first with content, else 0. */
size_t plan_root_disk(const struct spec *s);

/* True when the spec's disk has content. */
bool plan_spec_has_content(const struct spec_disk *disk);

#endif
