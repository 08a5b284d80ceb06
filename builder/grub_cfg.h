/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts that GRUB and grub-mkconfig read. Everything that comes from the spec or the tree is
 * quoted, so that it reaches the kernel as it was written.
 *
 * Source: GRUB 2.06 manual, chapter 6 (shell-like quoting); grub-core/lib/cmdline.c: a word with a
 * space reaches the kernel in double quotes, and quotes inside a word with a backslash, which the
 * kernel does not take away. So quotes of the command line are taken off here word by word.
 */
#ifndef AMIWRIGHT_BUILDER_GRUB_CFG_H
#define AMIWRIGHT_BUILDER_GRUB_CFG_H

#include "builder/loader.h"

/* ERROR_USAGE when the command line cannot be handed to the kernel by GRUB, saying why. */
int grub_cfg_check(const char *cmdline, struct error *err) MUST_CHECK;

/*
 * The menu, grub.cfg: newest kernel first, which is the default. Images and initrds are those of
 * in->kernels, whose paths are turned into such of the file system that holds /boot.
 */
int grub_cfg_menu(const struct loader_in *in, struct buf *out, struct error *err) MUST_CHECK;

/* What finds GRUB's folder ("/boot/grub" in its file system): for the core image. */
int grub_cfg_find(const struct loader_in *in, const char *dir, struct buf *out, struct error *err)
	MUST_CHECK;
/* The same and going on with the menu: the small grub.cfg on the ESP. */
int grub_cfg_esp(const struct loader_in *in, const char *dir, struct buf *out, struct error *err)
	MUST_CHECK;

/* Settings for grub-mkconfig, in shell's syntax: what keeps command line, timeout and terminals. */
int grub_cfg_defaults(const struct loader_in *in, struct buf *out, struct error *err) MUST_CHECK;

/* An empty environment block: 1024 bytes. */
enum { GRUB_ENV_SIZE = 1024 };
void grub_cfg_env(char out[GRUB_ENV_SIZE]);

/* The path inside the file system that holds /boot of a path of the tree below /boot. */
int grub_cfg_path(const struct loader_in *in, const char *path, struct buf *out, struct error *err)
	MUST_CHECK;

#endif
