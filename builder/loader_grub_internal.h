/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of builder/loader_grub*.c share. */
#ifndef AMIWRIGHT_BUILDER_LOADER_GRUB_INTERNAL_H
#define AMIWRIGHT_BUILDER_LOADER_GRUB_INTERNAL_H

#include "builder/loader.h"
#include "formats/grub_core.h"

/* GRUB's files for one platform ("i386-pc"); zeroed is nothing. */
struct grub_dir {
	const struct tree *tree; /* borrowed; NULL: the host's files */
	char *path;              /* owned; NULL: there are none */
};

/* The tree's, else the host's; path stays NULL when neither has kernel.img and moddep.lst. */
int grub_dir_find(const struct tree *t, const char *platform, struct grub_dir *out,
	struct error *err) MUST_CHECK;
void grub_dir_release(struct grub_dir *d);
/* As grub_core_in.load; arg is the struct grub_dir. */
int grub_dir_load(void *arg, const char *name, struct buf *out, bool *found, struct error *err)
	MUST_CHECK;
/*
 * Calls each() for all modules and lists in the folder, sorted by name, with their content; stops
 * at -1. What each() changes in the tree does not disturb it.
 */
int grub_dir_each(struct grub_dir *d,
	int (*each)(void *arg, const char *name, const struct buf *content, struct error *err),
	void *arg, struct error *err) MUST_CHECK;

/*
 * The names in a folder of a tree (NULL: of the host), sorted; none when the tree has no such
 * folder. Zeroed is empty.
 */
struct grub_names {
	char **items; /* owned */
	size_t nr;
};
/* Release in any case. */
int grub_names_of(const struct tree *t, const char *dir, struct grub_names *out, struct error *err)
	MUST_CHECK;
void grub_names_release(struct grub_names *n);

/* Writes a file of root's with mode 0644 and the epoch's time. */
int grub_tree_write(const struct loader_in *in, const char *path, const struct buf *content,
	struct error *err) MUST_CHECK;

/* GRUB's folder in the tree: "/boot/grub", or "/boot/grub2" where the tree's tools call it so. */
int grub_home(const struct loader_in *in, const char **out, struct error *err) MUST_CHECK;
/* Copies all modules and lists to HOME/PLATFORM in the tree. */
int grub_copy_modules(const struct loader_in *in, struct grub_dir *d, const char *platform,
	struct error *err) MUST_CHECK;

/* The two kinds of firmware. */
int grub_bios_check(const struct loader_in *in, struct error *err) MUST_CHECK;
int grub_bios_install(const struct loader_in *in, struct loader_out *out, struct error *err)
	MUST_CHECK;
int grub_efi_check(const struct loader_in *in, struct error *err) MUST_CHECK;
int grub_efi_install(const struct loader_in *in, struct error *err) MUST_CHECK;

/* An image made by the host's grub-mkimage of the files of d. */
int grub_efi_make(const struct loader_in *in, struct grub_dir *d, const char *platform,
	struct buf *out, struct error *err) MUST_CHECK;

#endif
