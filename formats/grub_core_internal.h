/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of formats/grub_core*.c share. */
#ifndef AMIWRIGHT_FORMATS_GRUB_CORE_INTERNAL_H
#define AMIWRIGHT_FORMATS_GRUB_CORE_INTERNAL_H

#include "formats/grub_core.h"

/* include/grub/kernel.h: "mimg" in the file, and the types of objects. */
#define GRUB_MODULE_MAGIC UINT32_C(0x676d696d)
enum { GRUB_OBJ_ELF = 0, GRUB_OBJ_CONFIG = 2, GRUB_OBJ_PREFIX = 3 };
enum { GRUB_OBJ_HEADER = 8 };

/* include/grub/offsets.h */
enum { GRUB_LINK_ADDR = 0x9000 };

/* The names of modules in the order in which GRUB must load them; zeroed is empty. */
struct grub_module_list {
	char **names; /* owned */
	size_t nr;
};

/* All modules of `in` and what they need by moddep.lst, each behind what it needs. */
int grub_core_modules(const struct grub_core_in *in, struct grub_module_list *out,
	struct error *err) MUST_CHECK;
void grub_module_list_release(struct grub_module_list *list);

/* A file that must be there. */
int grub_core_load(const struct grub_core_in *in, const char *name, struct buf *out,
	struct error *err) MUST_CHECK;

/* Appends kernel.img's flat memory image. *end: address behind its .bss. */
int grub_core_kernel(const struct buf *elf, struct buf *out, uint64_t *end, struct error *err)
	MUST_CHECK;

#endif
