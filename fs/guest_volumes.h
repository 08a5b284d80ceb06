/* SPDX-License-Identifier: Apache-2.0 */
/* For guest_disks.c: the volumes that an appliance sees in its disks. */
#ifndef AMIWRIGHT_FS_GUEST_VOLUMES_H
#define AMIWRIGHT_FS_GUEST_VOLUMES_H

#include "fs/guest_disks.h"
#include "fs/guest_private.h"

/* More than this is nothing that anybody meant. */
enum { GUEST_VOLUMES_MAX = 1000 };

struct guest_volumes {
	struct guest_volume *items; /* owned, with their texts */
	size_t nr, alloc;
};

/*
 * Lists the appliance's nr_disks disks, whose types are known, and all volumes in them, see
 * guest_disks_volumes(). key opens LUKS; may be NULL. Release in any case. ERROR_IO,
 * ERROR_INTERRUPTED; ERROR_INPUT over GUEST_VOLUMES_MAX.
 */
int guest_volumes_find(struct guest *g, const char *const *types, size_t nr_disks, const char *key,
	struct guest_volumes *out, struct error *err) MUST_CHECK;
void guest_volumes_release(struct guest_volumes *v);

#endif
