/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libguestfs: a small virtual machine (the appliance) whose kernel works on an image, so that an
 * ordinary user can have file systems made by the kernel that knows them. The library is loaded
 * when it is first needed; nothing of it is linked, and no header of it is used.
 *
 * The appliance is run by qemu directly, with KVM where it works (base/kvm.h). A start that fails with KVM
 * all the same, or does not come about in two minutes, is repeated under emulation, and the process
 * remembers it.
 *
 * libguestfs reads its own environment variables (LIBGUESTFS_PATH for a ready appliance,
 * LIBGUESTFS_HV, LIBGUESTFS_MEMSIZE, TMPDIR …); none of them changes what is written. Its appliance
 * is kept in /var/tmp/.guestfs-UID. What it says goes to the debug log.
 *
 * Source of the interface: guestfs(3).
 */
#ifndef AMIWRIGHT_FS_GUEST_H
#define AMIWRIGHT_FS_GUEST_H

#include "base/error.h"
#include "fs/reader.h"

#include <stdbool.h>

struct guest;

struct guest_opts {
	bool (*cancelled)(void); /* may be NULL */
	unsigned limit_s;        /* seconds for all that the appliance does, its start included; 0: no limit */
	const char *tmpdir;      /* for what it writes over a disk that it may not write; NULL: libguestfs's */
	unsigned memory_mib;     /* at least; 0: libguestfs's own */
};

/*
 * Whether an appliance can be started, as far as can be told without doing it: the library, the
 * parts of the appliance, supermin and a kernel that we may read to make it from, qemu.
 * ERROR_USAGE names what is missing and the package or command that cures it.
 */
int guest_available(struct error *err) MUST_CHECK;

/*
 * Starts an appliance with the raw image as its only disk (5 to 30 s; more when libguestfs makes it
 * for the first time). Its processes end when the user wants to stop and when the time is over.
 * ERROR_USAGE as guest_available(); ERROR_INTERRUPTED; ERROR_IO with the reason when it does not
 * start.
 */
struct guest *guest_start(const char *image, const struct guest_opts *opts, struct error *err) MUST_CHECK;
/*
 * The same with disks that it cannot change: the exports "0", "1", … of a server of base/nbd_server.h
 * that listens at the socket. They are /dev/sda, /dev/sdb …, see guest_disk_name(). At most
 * GUEST_DISKS_MAX.
 */
enum { GUEST_DISKS_MAX = 200 };
struct guest *guest_start_served(const char *socket, size_t nr, const struct guest_opts *opts,
	struct error *err) MUST_CHECK;
/* "/dev/sda" for 0, as the appliance calls it. */
enum { GUEST_DISK_NAME = 16 };
const char *guest_disk_name(char out[GUEST_DISK_NAME], size_t index);

/*
 * The functions below: ERROR_IO with libguestfs's reason, also when the appliance ended or the time is
 * over; ERROR_INTERRUPTED when cancelled.
 */

/* Mounts the disk (a file system without partition table) at the appliance's root. */
int guest_mount(struct guest *g, const char *options, struct error *err) MUST_CHECK;
/*
 * Unpacks the tar stream that fd gives, with owners, extended attributes and ACLs. ERROR_INPUT with
 * errnum ENOSPC when the file system is full.
 */
int guest_tar_in(struct guest *g, int fd, struct error *err) MUST_CHECK;
/* Discards the free space: it becomes holes of the image file. */
int guest_trim(struct guest *g, struct error *err) MUST_CHECK;

/*
 * For reading what somebody else made. device: the appliance's name, or "btrfsvol:/dev/sda/NAME" for a
 * subvolume. Nothing may be mounted. ERROR_INPUT when the kernel does not mount it, or finds damage
 * later; errnum ENODEV when it does not know the file system. Paths as in reader.h.
 */
int guest_mount_ro(struct guest *g, const char *device, struct error *err) MUST_CHECK;
int guest_umount(struct guest *g, struct error *err) MUST_CHECK;
int guest_stat(struct guest *g, const char *path, enum reader_kind *kind, uint64_t *size,
	struct error *err) MUST_CHECK;
/* Appends up to max bytes (4 MiB at most) of the file from off on; *got: how many they were. */
int guest_pread(struct guest *g, const char *path, uint64_t off, size_t max, struct buf *out,
	size_t *got, struct error *err) MUST_CHECK;
int guest_list(struct guest *g, const char *path, reader_name_fn each, void *arg, struct error *err)
	MUST_CHECK;
/* Bytes of the mounted file system, and those in use. */
int guest_usage(struct guest *g, uint64_t *size, uint64_t *used, struct error *err) MUST_CHECK;

/*
 * The paths of the subvolumes of btrfs on the device, which must not be mounted; in any order, at most
 * GUEST_SUBVOLUMES_MAX.
 */
enum { GUEST_SUBVOLUMES_MAX = 1000 };
int guest_subvolumes(struct guest *g, const char *device, reader_name_fn each, void *arg,
	struct error *err) MUST_CHECK;

/* Unmounts, has everything written, and ends the appliance; g is gone in any case. */
int guest_stop(struct guest *g, struct error *err) MUST_CHECK;
/* Ends it at once, the image is worth nothing then. NULL is fine. */
void guest_abort(struct guest *g);

#endif
