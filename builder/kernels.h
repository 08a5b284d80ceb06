/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels that a tree carries, with their initrds. */
#ifndef AMIWRIGHT_BUILDER_KERNELS_H
#define AMIWRIGHT_BUILDER_KERNELS_H

#include "fs/tree.h"

struct kernel {
	char *version; /* "6.1.0-40-cloud-amd64": uname -r */
	char *image;   /* path in the tree of the bzImage or Image */
	char *initrd;  /* path in the tree; NULL: there is none */
};

struct kernels {
	struct kernel *items; /* owned; newest version first */
	size_t nr;
};

/*
 * /boot/vmlinuz-VERSION, /boot/Image-VERSION or /boot/vmlinux-VERSION, else
 * /usr/lib/modules/VERSION/vmlinuz, with initrd.img-VERSION, initramfs-VERSION.img or
 * initrd-VERSION in /boot, or initrd or initramfs.img in the modules' directory. Rescue kernels and
 * what upgrades leave behind (.old, .dpkg-*) are none. Versions are compared as dpkg and rpm do, and
 * "-rc1" as "~rc1". None at all is no error; release in any case.
 */
int kernels_find(const struct tree *t, struct kernels *out, struct error *err) MUST_CHECK;
void kernels_release(struct kernels *k);

#endif
