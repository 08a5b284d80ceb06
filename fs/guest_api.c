/* SPDX-License-Identifier: Apache-2.0 */
/* Loads libguestfs and looks its functions up. */
#include "fs/guest_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/num.h"

struct guest_api guest_api;

#define ENTRY(name) {"guestfs_" #name, (void **)&guest_api.name}

/* POSIX has functions come as `void *` from dlsym(). */
static const struct {
	const char *name;
	void **slot;
} entries[] = {
	ENTRY(create), ENTRY(close), ENTRY(last_error), ENTRY(last_errno), ENTRY(set_error_handler),
	ENTRY(set_event_callback), ENTRY(set_backend), ENTRY(set_backend_setting), ENTRY(set_memsize),
	ENTRY(get_memsize), ENTRY(set_tmpdir), ENTRY(get_path), ENTRY(get_hv), ENTRY(add_drive_opts),
	ENTRY(launch), ENTRY(is_ready), ENTRY(mount_options), ENTRY(tar_in_opts), ENTRY(fstrim),
	ENTRY(mount_ro), ENTRY(is_file_opts), ENTRY(is_dir_opts), ENTRY(exists), ENTRY(filesize),
	ENTRY(pread), ENTRY(ls), ENTRY(statvfs), ENTRY(free_statvfs), ENTRY(umount_all), ENTRY(shutdown),
	ENTRY(list_md_devices), ENTRY(md_detail), ENTRY(debug), ENTRY(lvm_scan),
	ENTRY(vg_activate_all), ENTRY(vgs), ENTRY(vgpvuuids), ENTRY(pvuuid), ENTRY(lvs),
	ENTRY(blockdev_getsize64), ENTRY(vfs_type), ENTRY(vfs_label), ENTRY(vfs_uuid),
	ENTRY(btrfs_subvolume_list), ENTRY(free_btrfssubvolume_list), ENTRY(cryptsetup_open),
};

static int load_locked(struct error *err)
{
	static bool loaded;
	void *lib;

	if (loaded)
		return 0;
	lib = dlopen("libguestfs.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return error_set(err, ERROR_USAGE, 0,
			"cannot load libguestfs, which works on this file system; install libguestfs0 (%s)",
			dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		*entries[i].slot = dlsym(lib, entries[i].name);
		if (*entries[i].slot)
			continue;
		dlclose(lib);
		return error_set(err, ERROR_USAGE, 0,
			"the libguestfs that is installed lacks %s(); 1.44 or later is wanted",
			entries[i].name);
	}
	loaded = true; /* it stays loaded: it has handlers of its own for the end of the process */
	return 0;
}

int guest_api_load(struct error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int ret;

	pthread_mutex_lock(&lock);
	ret = load_locked(err);
	pthread_mutex_unlock(&lock);
	return ret;
}
