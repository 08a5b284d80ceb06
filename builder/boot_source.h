/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `boot` is to run, as disk files that QEMU may write to: an image file stays as it is below an
 * overlay, a spec is built, an AMI's snapshots are downloaded, empty volumes are sparse files. All of
 * that lies in a temporary folder.
 *
 * In two steps: boot_source_look() reads what says what the machine is (spec, image, the AMI's
 * description) and finds what is wrong; boot_source_make() does the work, which may take minutes.
 */
#ifndef AMIWRIGHT_BUILDER_BOOT_SOURCE_H
#define AMIWRIGHT_BUILDER_BOOT_SOURCE_H

#include "builder/build.h"
#include "builder/context.h"
#include "builder/files.h"
#include "builder/imds.h"
#include "builder/qemu_args.h"

struct boot_disk {
	char *file;       /* owned; in the temporary folder */
	const char *format; /* "qcow2", "raw" */
	char serial[24];  /* "vol0123456789abcdef0" */
	struct imds_disk mapping;
};

struct boot_source_opts {
	const char *spool_dir;   /* for building a spec; may be NULL */
	const char *architecture, *firmware; /* as told by the user; NULL: find out */
	uint64_t disk_size;      /* bytes of the root volume; 0: as it is */
	const struct options_list *disks; /* further image files, for an image file */
	bool kernel;             /* the machine starts another kernel than the disk's */
};

enum boot_source_kind { BOOT_IMAGE, BOOT_SPEC, BOOT_AMI };

struct boot_source {
	enum boot_source_kind kind;
	const char *what;        /* borrowed: path or id */
	const struct boot_source_opts *opts; /* borrowed */
	const char *folder;      /* for the disks; borrowed, from boot_source_make() on */
	struct boot_disk *disks; /* owned; the root volume first */
	size_t nr, alloc;
	enum qemu_architecture architecture;
	/* Final after boot_source_make(): a spec's or AMI's may turn out to be UEFI only there. */
	enum qemu_firmware firmware;
	const char *uefi_code, *uefi_vars; /* for UEFI */
	uint64_t image_size;     /* of an image */
	uint64_t *more_sizes;    /* owned; of opts->disks */
	struct build build;      /* of a spec */
	struct ec2_image_list images; /* one, of an AMI */
	struct aws *aws;         /* of an AMI; borrowed */
};

/*
 * Recognises what: "ami-…", a file that ends in .yaml or .yml, else an image. Nothing is made. Tells
 * files all that is read. Mistakes that can be known now are refused, a missing QEMU and firmware
 * among them: ERROR_USAGE; ERROR_INPUT for what is no disk that could start. Release in any case.
 */
int boot_source_look(struct boot_source *s, struct context *ctx, const char *what,
	const struct boot_source_opts *opts, struct files *files, struct error *err) MUST_CHECK;
/* Makes the disks in the folder. */
int boot_source_make(struct boot_source *s, struct context *ctx, const char *folder,
	struct error *err) MUST_CHECK;
void boot_source_release(struct boot_source *s);

#endif
