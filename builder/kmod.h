/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the modules of a kernel are: built in, in its initrd, as files in the tree; and whether those
 * that they depend on are there too.
 *
 * Facts: modules.builtin and modules.dep below /lib/modules/VERSION (depmod(8); a line of modules.dep
 * has all that a module needs, directly or not); where there is no modules.builtin, the kernel's
 * configuration says what is built in. Names are as the kernel has them: '-' is '_'.
 */
#ifndef AMIWRIGHT_BUILDER_KMOD_H
#define AMIWRIGHT_BUILDER_KMOD_H

#include "builder/kernels.h"

enum kmod_place {
	KMOD_BUILTIN = 1,
	KMOD_INITRD = 2, /* and all that it depends on is in the initrd or built in */
	KMOD_FILE = 4,   /* and all that it depends on is a file in the tree or built in */
};

enum { KMOD_NAME_SIZE = 64, KMOD_WANTED_MAX = 32 };

struct kmod_module {
	char name[KMOD_NAME_SIZE];    /* "dm_verity" */
	unsigned places;              /* of enum kmod_place */
	char missing[KMOD_NAME_SIZE]; /* in the initrd without this one that it needs; "": none */
};

struct kmod {
	struct kmod_module modules[KMOD_WANTED_MAX]; /* in the order of `wanted` */
	size_t nr;
	bool builtin_known;      /* modules.builtin or the configuration was there */
	bool has_files;          /* there are module files for this version */
	bool has_dep;            /* there is a modules.dep (or modules.dep.bin) */
	bool initrd_read;        /* there is an initrd, and it was read to its end */
	bool initrd_has_verity;  /* it has a program that opens dm-verity volumes */
	struct error initrd_error; /* why an initrd that is there was not read; kind ERROR_NONE: it was */
};

/*
 * wanted: NULL-terminated, at most KMOD_WANTED_MAX. An initrd that is damaged or of a kind that we
 * cannot read is no error: initrd_error has it. Nothing to release.
 */
int kmod_find(struct kmod *out, const struct tree *t, const struct kernel *k,
	const char *const *wanted, struct error *err) MUST_CHECK;
/* The places of one of the wanted; 0: nowhere. */
unsigned kmod_places(const struct kmod *m, const char *name);

#endif
