/* SPDX-License-Identifier: Apache-2.0 */
/* The server, the appliance that it serves, and what was found in it. */
#include "fs/guest_disks.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/nbd_server.h"
#include "base/num.h"
#include "base/tempdir.h"
#include "fs/guest_read.h"
#include "fs/guest_volumes.h"

/* cryptsetup of LUKS 2 takes up to 1 GiB to make a key of a passphrase (argon2). */
enum { MEMORY_FOR_KEYS_MIB = 2560 };

struct guest_disks {
	struct nbd_server *server;
	char *dir, *socket; /* the server's socket, in a folder of its own */
	struct guest *guest;
	struct guest_volumes volumes;
};

bool guest_disks_read(const char *type, bool key)
{
	static const char *const types[] = {"xfs", "btrfs", "squashfs", "f2fs", "ntfs", "iso9660",
		"LVM2_member", "linux_raid_member"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i], type))
			return true;
	return key && !strcmp(type, "crypto_LUKS");
}

/* A socket's path has to be short, whatever the spool's is. */
static int serve(struct guest_disks *d, struct dev *const *devs, size_t nr, struct error *err)
{
	d->dir = tempdir_new("/tmp", err);
	if (!d->dir)
		return -1;
	d->socket = file_join(d->dir, "disks", err);
	if (!d->socket)
		return -1;
	d->server = nbd_server_start(devs, nr, d->socket, err);
	return d->server ? 0 : -1;
}

static int open_all(struct guest_disks *d, struct dev *const *devs, const char *const *types, size_t nr,
	const struct guest_disks_opts *opts, struct error *err)
{
	const struct guest_opts guest = {
		.cancelled = opts->cancelled,
		.limit_s = opts->limit_s,
		.tmpdir = opts->spool_dir,
		.memory_mib = opts->key ? MEMORY_FOR_KEYS_MIB : 0,
	};

	if (nr > GUEST_DISKS_MAX)
		return error_set(err, ERROR_INPUT, 0, "an appliance takes %d file systems, there are %zu",
			GUEST_DISKS_MAX, nr);
	if (guest_available(err) < 0 || serve(d, devs, nr, err) < 0)
		return -1;
	d->guest = guest_start_served(d->socket, nr, &guest, err);
	if (!d->guest)
		return -1;
	return guest_volumes_find(d->guest, types, nr, opts->key, &d->volumes, err);
}

struct guest_disks *guest_disks_open(struct dev *const *devs, const char *const *types, size_t nr,
	const struct guest_disks_opts *opts, struct error *err)
{
	struct guest_disks *d = calloc(1, sizeof(*d));
	struct error why = ERROR_INIT;

	if (!d)
		return error_nomem(err, "an appliance"), NULL;
	if (open_all(d, devs, types, nr, opts, err) == 0)
		return d;
	/* That a device cannot be read is the better reason. */
	if (guest_disks_close(d, &why) < 0 && err && err->kind != ERROR_INTERRUPTED)
		*err = why;
	return NULL;
}

int guest_disks_close(struct guest_disks *d, struct error *err)
{
	int ret;

	if (!d)
		return 0;
	guest_abort(d->guest); /* first: it is the server's client */
	ret = nbd_server_stop(d->server, err);
	tempdir_remove(d->dir);
	free(d->socket);
	guest_volumes_release(&d->volumes);
	free(d);
	return ret;
}

const struct guest_volume *guest_disks_volumes(const struct guest_disks *d, size_t *nr)
{
	*nr = d->volumes.nr;
	return d->volumes.items;
}

struct reader *guest_disks_mount(struct guest_disks *d, size_t index, struct error *err)
{
	return guest_reader_open(d->guest, d->volumes.items[index].device, err);
}

int guest_disks_usage(struct guest_disks *d, uint64_t *size, uint64_t *used, struct error *err)
{
	return guest_usage(d->guest, size, used, err);
}

int guest_disks_subvolumes(struct guest_disks *d, size_t index, reader_name_fn each, void *arg,
	struct error *err)
{
	return guest_subvolumes(d->guest, d->volumes.items[index].device, each, arg, err);
}

struct reader *guest_disks_mount_subvolume(struct guest_disks *d, size_t index, const char *path,
	struct error *err)
{
	CLEANUP_FREE char *name = buf_strf(err, "btrfsvol:%s/%s", d->volumes.items[index].device, path);

	return name ? guest_reader_open(d->guest, name, err) : NULL;
}
