/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `boot` is to run, as disk files that QEMU may write to: an image file stays as it is below an
 * overlay, a spec is built, an AMI's snapshots are downloaded, empty volumes are sparse files. All of
 * that lies in a temporary folder.
 */
#ifndef AMIWRIGHT_BUILDER_BOOT_SOURCE_H
#define AMIWRIGHT_BUILDER_BOOT_SOURCE_H

#include "builder/context.h"
#include "builder/imds.h"
#include "builder/qemu_args.h"

struct boot_disk {
	char *file;       /* owned; in the temporary folder */
	const char *format; /* "qcow2", "raw" */
	char serial[24];  /* "vol0123456789abcdef0" */
	struct imds_disk mapping;
};

struct boot_source {
	struct boot_disk *disks; /* owned; the root volume first */
	size_t nr, alloc;
	enum qemu_architecture architecture;
	enum qemu_firmware firmware;
	char ami_id[EBS_ID_SIZE]; /* "" when it is not an AMI */
};

struct boot_source_opts {
	const char *folder;      /* the temporary one */
	const char *spool_dir;   /* for building a spec; may be NULL */
	const char *architecture, *firmware; /* as told by the user; NULL: find out */
	uint64_t disk_size;      /* bytes of the root volume; 0: as it is */
	const struct options_list *disks; /* further image files, for an image file */
};

/*
 * Recognises the argument: "ami-…", a file that ends in .yaml or .yml, else an image. Release in any
 * case.
 */
int boot_source_open(struct boot_source *s, struct context *ctx, const char *what,
	const struct boot_source_opts *opts, struct error *err) MUST_CHECK;
void boot_source_release(struct boot_source *s);

#endif
