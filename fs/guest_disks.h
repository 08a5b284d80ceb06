/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One appliance for what only a kernel reads well in devices of ours: file systems, and the volumes
 * (LVM, md RAID, LUKS) that lie in them.
 *
 *   devices ─▶ base/nbd_server.h ─▶ qemu, an overlay over each ─▶ the appliance's kernel
 *
 * Nothing is copied, whatever the format of the image; nothing is written to it, and when the kernel
 * replays a journal that goes to the overlay. qemu opens no file that an image names.
 */
#ifndef AMIWRIGHT_FS_GUEST_DISKS_H
#define AMIWRIGHT_FS_GUEST_DISKS_H

#include "fs/guest.h"
#include "fs/reader.h"

struct guest_disks_opts {
	const char *spool_dir;   /* for overlays; NULL: libguestfs's own folder */
	bool (*cancelled)(void); /* may be NULL */
	unsigned limit_s;        /* for the appliance, its start included; 0: no limit */
	const char *key;         /* opens volumes of LUKS; NULL: they stay closed */
};

/*
 * A file system's or a volume's type, as probe_dev() has them: whether an appliance tells more about it
 * than we do. key: there is one for LUKS.
 */
bool guest_disks_read(const char *type, bool key);

struct guest_disks;

/*
 * Starts the appliance (5 to 60 s). types: what probe_dev() says of each device. devs, the array too, are
 * borrowed until guest_disks_close(), and nobody else may use them before. ERROR_INPUT for more than
 * GUEST_DISKS_MAX; else as guest_start().
 */
struct guest_disks *guest_disks_open(struct dev *const *devs, const char *const *types,
	size_t nr, const struct guest_disks_opts *opts, struct error *err) MUST_CHECK;
/*
 * Ends it, and leaves nothing behind. ERROR_IO or ERROR_INPUT when a device could not be read: what
 * the appliance said then means nothing. NULL is fine.
 */
int guest_disks_close(struct guest_disks *d, struct error *err);

/* One of the devices, or a volume that was found in them; borrowed until guest_disks_close(). */
struct guest_volume {
	const char *device; /* the appliance's name for it */
	const char *name;   /* "group/name" of LVM, "md127"; "" of a device, and of what LUKS hides */
	const char *group;  /* the LVM group or md array ("md127") that it is a part of; "" none */
	const char *type, *label, *uuid; /* as blkid has them; "" nothing that it knows; a device's last two */
	uint64_t size;      /* bytes; 0: not active, other parts of it are missing; and of a device */
	size_t in;          /* index of the first one that it lies in; itself for a device */
	bool locked;        /* LUKS that the key does not open */
};

/* The devices in their order, then the volumes, each behind what it lies in. */
const struct guest_volume *guest_disks_volumes(const struct guest_disks *d, size_t *nr);

/*
 * Mounts what is at a volume's index, read-only, and reads it; one at a time. Close the reader before
 * the next. Errors as guest_mount_ro().
 */
struct reader *guest_disks_mount(struct guest_disks *d, size_t index, struct error *err) MUST_CHECK;
/* Bytes of the mounted file system and those in use, as statvfs() has them. */
int guest_disks_usage(struct guest_disks *d, uint64_t *size, uint64_t *used, struct error *err) MUST_CHECK;
/* Of btrfs, as guest_subvolumes(); nothing may be mounted. */
int guest_disks_subvolumes(struct guest_disks *d, size_t index, reader_name_fn each, void *arg,
	struct error *err) MUST_CHECK;
/* Mounts one of them, as guest_disks_mount(). */
struct reader *guest_disks_mount_subvolume(struct guest_disks *d, size_t index, const char *path,
	struct error *err) MUST_CHECK;

#endif
