/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB's core image and boot sector for BIOS machines (i386-pc), made from GRUB's own files without
 * running anything: what `grub-mkimage -O i386-pc` and the writing half of `grub-install` do. The
 * files may come from a hostile tree: they are only read, with every length checked.
 *
 *   sector 0      diskboot.img; its last 12 bytes say where the rest of the core lies
 *   sector 1 …    lzma_decompress.img with both lengths of what follows filled in
 *   behind it     LZMA1 (raw, lc 3, lp 0, pb 2, dictionary 64 KiB) of
 *                   kernel.img, flat from its load address on up to its .bss
 *                   module info: "mimg", offset of the first object, size of all with this header
 *                   objects: type, size with this header, bytes up to a multiple of 4
 *
 * Source: GRUB 2.06 and 2.12: include/grub/offsets.h (fields of the decompressor, load address
 * and limits), include/grub/kernel.h (module info and objects), util/mkimage.c (order of objects,
 * limits), util/resolve.c (order of modules), util/setup.c and include/grub/i386/pc/boot.h (what is
 * filled in at installation).
 */
#ifndef AMIWRIGHT_FORMATS_GRUB_CORE_H
#define AMIWRIGHT_FORMATS_GRUB_CORE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GRUB_SECTOR = 512,
	GRUB_BOOT_CODE = 440,          /* bytes of the first sector that are not the partition table's */
	GRUB_FILE_MAX = 16 << 20,      /* bytes; no file of GRUB's is near it */
};

struct grub_core_in {
	/*
	 * Appends the file NAME of GRUB's folder ("kernel.img", "ext2.mod") to out. *found = false
	 * and 0 when there is none.
	 */
	int (*load)(void *arg, const char *name, struct buf *out, bool *found, struct error *err);
	void *arg;
	const char *const *modules;    /* NULL-terminated, without ".mod"; they must be there */
	const char *const *optional;   /* as above, left out when they are not there; NULL: none */
	const char *config;            /* commands run at the start; NULL: none */
	const char *prefix;            /* where GRUB's folder is until the config says otherwise */
};

/* What gets compressed, for tests and for who wants to look. ERROR_INPUT names file and fault. */
int grub_core_payload(const struct grub_core_in *in, struct buf *out, struct error *err) MUST_CHECK;
/* The core image, padded to whole sectors; grub_core_place() makes it fit for a disk. */
int grub_core_make(const struct grub_core_in *in, struct buf *out, struct error *err) MUST_CHECK;
/* Fills in that the core (of len bytes, a multiple of 512) begins at sector lba. */
void grub_core_place(uint8_t *core, size_t len, uint64_t lba);

/* Takes the code out of boot.img. ERROR_INPUT when it is none. */
int grub_boot_code(const struct buf *boot_img, uint8_t out[GRUB_BOOT_CODE], struct error *err)
	MUST_CHECK;
/* Fills in where the core begins, and that the disk booted from is the one to read. */
void grub_boot_code_place(uint8_t code[GRUB_BOOT_CODE], uint64_t lba);

/*
 * The prefix that an EFI image of GRUB has inside ("/EFI/debian"): where it looks for grub.cfg, on
 * the partition that it was loaded from. "" when it has none, or is not GRUB.
 */
int grub_image_prefix(const struct buf *image, struct buf *out, struct error *err) MUST_CHECK;

#endif
