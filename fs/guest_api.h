/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libguestfs by function pointers, for the files of fs/guest*.c alone. What is declared here is as in
 * guestfs(3) and is kept stable by its authors (one soname since 2009); optional arguments are pairs
 * of number and value, ended by -1.
 */
#ifndef AMIWRIGHT_FS_GUEST_API_H
#define AMIWRIGHT_FS_GUEST_API_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct guestfs_h guestfs_h;

enum { GUEST_API_END = -1 };
enum {
	ADD_DRIVE_READONLY = 0, ADD_DRIVE_FORMAT = 1, ADD_DRIVE_PROTOCOL = 5, ADD_DRIVE_SERVER = 6,
	ADD_DRIVE_CACHEMODE = 9, ADD_DRIVE_DISCARD = 10,
};
enum { TAR_IN_XATTRS = 1, TAR_IN_ACLS = 3 };
enum { FOLLOW_SYMLINKS = 0 };
enum { CRYPTSETUP_OPEN_READONLY = 0 };
enum { EVENT_APPLIANCE = 0x10, EVENT_LIBRARY = 0x20, EVENT_TRACE = 0x40, EVENT_WARNING = 0x200 };

typedef void (*guest_event_fn)(guestfs_h *g, void *opaque, uint64_t event, int handle, int flags,
	const char *text, size_t len, const uint64_t *array, size_t array_len);
typedef void (*guest_error_fn)(guestfs_h *g, void *opaque, const char *text);

/* Layouts: guestfs(3), STRUCTURES. */
struct guestfs_statvfs {
	int64_t bsize, frsize, blocks, bfree, bavail, files, ffree, favail, fsid, flag, namemax;
};
struct guestfs_btrfssubvolume {
	uint64_t id, top_level_id;
	char *path; /* from the file system's top on, without a slash at its beginning */
};
struct guestfs_btrfssubvolume_list {
	uint32_t len;
	struct guestfs_btrfssubvolume *val;
};

/* Texts and lists that they give are the caller's to free(), item by item. */
struct guest_api {
	guestfs_h *(*create)(void);
	void (*close)(guestfs_h *g);
	const char *(*last_error)(guestfs_h *g);
	int (*last_errno)(guestfs_h *g);
	void (*set_error_handler)(guestfs_h *g, guest_error_fn fn, void *opaque);
	int (*set_event_callback)(guestfs_h *g, guest_event_fn fn, uint64_t events, int flags,
		void *opaque);
	int (*set_backend)(guestfs_h *g, const char *name);
	int (*set_backend_setting)(guestfs_h *g, const char *name, const char *value);
	int (*set_memsize)(guestfs_h *g, int mib);
	int (*get_memsize)(guestfs_h *g);
	int (*set_tmpdir)(guestfs_h *g, const char *path);
	const char *(*get_path)(guestfs_h *g);
	char *(*get_hv)(guestfs_h *g);
	int (*add_drive_opts)(guestfs_h *g, const char *file, ...);
	int (*launch)(guestfs_h *g);
	int (*is_ready)(guestfs_h *g);
	int (*mount_options)(
		guestfs_h *g, const char *options, const char *device, const char *mountpoint);
	int (*tar_in_opts)(guestfs_h *g, const char *tar, const char *dir, ...);
	int (*fstrim)(guestfs_h *g, const char *mountpoint, ...);
	int (*mount_ro)(guestfs_h *g, const char *device, const char *mountpoint);
	int (*is_file_opts)(guestfs_h *g, const char *path, ...);
	int (*is_dir_opts)(guestfs_h *g, const char *path, ...);
	int (*exists)(guestfs_h *g, const char *path);
	int64_t (*filesize)(guestfs_h *g, const char *path);
	char *(*pread)(guestfs_h *g, const char *path, int count, int64_t off, size_t *size);
	char **(*ls)(guestfs_h *g, const char *path);
	struct guestfs_statvfs *(*statvfs)(guestfs_h *g, const char *path);
	void (*free_statvfs)(struct guestfs_statvfs *s);
	int (*umount_all)(guestfs_h *g);
	int (*shutdown)(guestfs_h *g);
	/* What lies in other volumes. */
	char **(*list_md_devices)(guestfs_h *g);
	char **(*md_detail)(guestfs_h *g, const char *md); /* names and values in turn */
	char *(*debug)(guestfs_h *g, const char *what, const char *const *args);
	int (*lvm_scan)(guestfs_h *g, int activate);
	int (*vg_activate_all)(guestfs_h *g, int activate);
	char **(*vgs)(guestfs_h *g);
	char **(*vgpvuuids)(guestfs_h *g, const char *vg);
	char *(*pvuuid)(guestfs_h *g, const char *device);
	char **(*lvs)(guestfs_h *g);
	int64_t (*blockdev_getsize64)(guestfs_h *g, const char *device);
	char *(*vfs_type)(guestfs_h *g, const char *device);
	char *(*vfs_label)(guestfs_h *g, const char *device);
	char *(*vfs_uuid)(guestfs_h *g, const char *device);
	struct guestfs_btrfssubvolume_list *(*btrfs_subvolume_list)(guestfs_h *g, const char *fs);
	void (*free_btrfssubvolume_list)(struct guestfs_btrfssubvolume_list *l);
	int (*cryptsetup_open)(guestfs_h *g, const char *device, const char *key, const char *name, ...);
};

/* Loaded by guest_api_load(). */
extern struct guest_api guest_api;

/*
 * Loads the library at the first call, for the life of the process; from any thread. ERROR_USAGE
 * names the package when it is not there or too old.
 */
int guest_api_load(struct error *err) MUST_CHECK;

#endif
