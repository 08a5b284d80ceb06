/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot loaders: what they put into the tree and onto the disk, from what the tree itself carries
 * (the host's files only where it has none, and then the log says so). Nothing of the tree is run.
 *
 * The plan asks check() for each kind of firmware, then install() once, before sizes are known:
 * whatever files it adds must have their final size. The root hash of a dm-verity root is known
 * only when that file system is written; until then `root` has 64 zeros in its place, and
 * set_roothash() puts it in, without changing a size.
 */
#ifndef AMIWRIGHT_BUILDER_LOADER_H
#define AMIWRIGHT_BUILDER_LOADER_H

#include "base/dev.h"
#include "builder/kernels.h"
#include "fs/tree.h"

enum loader_firmware { LOADER_BIOS, LOADER_UEFI };

struct loader_in {
	struct tree *tree;          /* the image's, with all layers */
	struct tree *esp_tree;      /* where the ESP's files go: the same, or its own without mount point */
	const char *esp;            /* its directory there ("/boot/efi", "" for its own tree); NULL: no ESP */
	const char *xbootldr;       /* mount point of an XBOOTLDR partition; NULL: none */
	const char *architecture;   /* "x86_64" or "arm64" */
	const char *os_id;          /* ID of os-release ("debian"); "linux" when it has none */
	const char *os_name;        /* PRETTY_NAME of os-release, else the spec's name */
	const char *root;           /* whole arguments: "root=UUID=… ro", "roothash=0…0" */
	const char *cmdline;        /* all others: "console=tty0 console=ttyS0,115200n8" */
	const char *boot_uuid;      /* uuid as text of the file system that holds /boot; GRUB searches for it */
	const char *boot_dir;       /* where /boot is inside it: "/boot", or "" when it is a file system of its own */
	const struct kernels *kernels; /* at least one */
	bool bios, uefi;            /* what install() is to make the image fit for */
	bool verity;                /* root has a root hash */
	unsigned timeout;           /* seconds that a menu waits */
	const char *sign_key, *sign_certificate; /* host paths, PEM; NULL: unsigned */
	const char *spool_dir;      /* for temporary data; NULL: /var/tmp */
	int64_t epoch;
	bool (*cancelled)(void);
};

/* What goes to the disk outside all file systems, for BIOS; zeroed is nothing. */
struct loader_out {
	uint8_t *boot_code;         /* 440 bytes for the first sector; owned */
	uint8_t *core;              /* for the bios-boot partition or the gap behind an MBR; owned */
	size_t core_len;
};

struct loader_ops {
	const char *name;           /* of the spec */
	bool bios;                  /* there is a way for BIOS; else UEFI is all it knows */
	/*
	 * 0 when the tree (or the host) has all that is needed for this firmware; -1 with ERROR_INPUT
	 * that names what is missing and the package that would bring it, or with ERROR_USAGE for what
	 * the spec says wrong, whatever the firmware. Partitions are not its
	 * business, but for in->esp.
	 */
	int (*check)(const struct loader_in *in, enum loader_firmware fw, struct error *err);
	/* Adds all files (owned by root, times the epoch). out is zeroed. */
	int (*install)(const struct loader_in *in, struct loader_out *out, struct error *err);
	/* hex: 64 digits. NULL: this loader cannot have a root hash. */
	int (*set_roothash)(const struct loader_in *in, const char *hex, struct error *err);
};

extern const struct loader_ops loader_grub, loader_systemd_boot, loader_uki;

void loader_out_release(struct loader_out *out);

/*
 * Writes boot code and core to the disk: the core's first sector is at core_off (a multiple of 512),
 * where there are core_room bytes. The partition table in the first sector stays. ERROR_INPUT when
 * the room is too small.
 */
int loader_grub_write(const struct loader_out *out, struct dev *dev, uint64_t core_off,
	uint64_t core_room, struct error *err) MUST_CHECK;

#endif
