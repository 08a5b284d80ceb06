/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small tree with what EFI loaders want of one: systemd's EFI binaries of this machine, two
 * kernels (of which the binary of systemd-boot plays the part) and one initrd. Whatever goes wrong
 * ends the program with a message.
 */
#ifndef AMIWRIGHT_TESTS_LIB_EFITREE_H
#define AMIWRIGHT_TESTS_LIB_EFITREE_H

#include "builder/loader.h"

#define EFITREE_STUB "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
#define EFITREE_BOOT "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"

struct efitree {
	struct tree *tree, *esp; /* esp: of its own, or the same */
	struct kernels kernels;
	struct loader_in in;     /* for change by the test */
	char *dir;               /* a temporary folder */
};

/* A root hash before it is known, and one. */
#define EFITREE_ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define EFITREE_HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Declares a tree at the beginning of a test, which is skipped where that cannot be. */
#define EFITREE_SETUP(e, own_esp)                              \
	struct efitree e;                                      \
	if (!efitree_init(&e, own_esp)) {                      \
		print_message("needs the package systemd-boot-efi\n"); \
		skip();                                        \
	}

/* False when this machine lacks the package systemd-boot-efi. own_esp: the ESP has no mount point. */
bool efitree_init(struct efitree *e, bool own_esp);
void efitree_release(struct efitree *e);
/* check() for UEFI and install() of a loader, then both trees are finished. */
void efitree_install(const struct efitree *e, const struct loader_ops *loader);

void efitree_write(struct tree *t, const char *path, const void *data, size_t len);
bool efitree_has(const struct tree *t, const char *path);
/* Whole content with a NUL behind it; the caller's to free. len may be NULL. */
char *efitree_read(const struct tree *t, const char *path, size_t *len);
/* The same as file e->dir/name; its path is the caller's to free. */
char *efitree_extract(const struct efitree *e, const struct tree *t, const char *path, const char *name);
/* Content of a host's file; the caller's to free. */
char *efitree_host(const char *path, size_t *len);

/* A new RSA key and certificate of the test's, at e->dir/NAME.key and .crt; false without openssl. */
bool efitree_key(const struct efitree *e, const char *name);
/* Runs a program: 0 when it says yes; output (may be NULL) gets its standard output. */
int efitree_run(struct buf *output, const char *const *argv);
bool efitree_program(const char *name);

#endif
