/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of builder/boot_source*.c share. */
#ifndef AMIWRIGHT_BUILDER_BOOT_SOURCE_INTERNAL_H
#define AMIWRIGHT_BUILDER_BOOT_SOURCE_INTERNAL_H

#include "builder/boot_source.h"

/* Appends a raw volume whose file is not made yet; NULL on error. Borrowed until the next call. */
struct boot_disk *boot_source_add(struct boot_source *s, const char *device, struct error *err)
	MUST_CHECK;
/* The same with a sparse file, for a mapping without content. */
int boot_source_add_empty(struct boot_source *s, const struct ec2_mapping *m, struct error *err)
	MUST_CHECK;
/* Makes a volume's file this large; with grow_only one that is larger stays. */
int boot_source_set_size(const char *file, uint64_t size, bool grow_only, struct error *err)
	MUST_CHECK;
/* ERROR_USAGE when --disk-size is less than what there is (0: not known). */
int boot_source_check_size(const struct boot_source *s, const char *what, uint64_t have,
	struct error *err) MUST_CHECK;
/*
 * Settles architecture and firmware: what is told wins, then what is known of it (may be NULL or
 * ""), then the partitions. ERROR_USAGE when this machine lacks QEMU or the firmware for it.
 */
int boot_source_choose(struct boot_source *s, const char *architecture, const char *boot_mode,
	bool esp, struct error *err) MUST_CHECK;
/*
 * Opens the disk that the machine is to start from and sees what its partitions tell: an ESP, and
 * the root partition's architecture (left alone else). ERROR_INPUT when no firmware could start it
 * and no kernel is given. NULL on error.
 */
struct dev *boot_source_open_root(const struct boot_source *s, const char *path, bool *esp,
	const char **architecture, struct error *err) MUST_CHECK;

/* boot_source_look() and boot_source_make() of a spec and of an AMI. */
int boot_source_look_spec(struct boot_source *s, struct context *ctx, struct files *files,
	struct error *err) MUST_CHECK;
int boot_source_make_spec(struct boot_source *s, struct context *ctx, struct error *err) MUST_CHECK;
int boot_source_look_ami(struct boot_source *s, struct context *ctx, struct error *err) MUST_CHECK;
int boot_source_make_ami(struct boot_source *s, struct context *ctx, struct error *err) MUST_CHECK;

#endif
