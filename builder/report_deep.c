/* SPDX-License-Identifier: Apache-2.0 */
/* File systems and volumes by an appliance, into the report's objects. */
#include "builder/report_deep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/window.h"
#include "builder/report_internal.h"

/* Subvolumes in which a system is looked for. */
enum { SUBVOLUMES_TRIED = 16 };

bool report_deep_takes(const struct report_deep *d, const char *type)
{
	return d->opts && guest_disks_read(type, d->opts->key != NULL);
}

int report_deep_add(struct report_deep *d, struct dev *dev, uint64_t off, uint64_t len, struct json *fs,
	struct error *err)
{
	struct dev **devs = reallocarray(d->devs, d->nr + 1, sizeof(*devs));
	struct json **objects;

	if (!devs)
		return error_nomem(err, "a list of file systems");
	d->devs = devs;
	objects = reallocarray(d->objects, d->nr + 1, sizeof(struct json *));
	if (!objects)
		return error_nomem(err, "a list of file systems");
	d->objects = objects;
	devs[d->nr] = window_new(dev, off, len, err);
	if (!devs[d->nr])
		return -1;
	objects[d->nr++] = fs;
	return 0;
}

void report_deep_release(struct report_deep *d)
{
	for (size_t i = 0; i < d->nr; i++)
		dev_close(d->devs[i], NULL);
	free(d->devs);
	free(d->objects);
	*d = (struct report_deep){.nr = 0};
}

/* One run: the appliance, its volumes, and the object of the file system on each. */
struct look {
	struct guest_disks *disks;
	const struct guest_volume *volumes; /* borrowed */
	size_t nr;
	struct json **objects; /* owned array; NULL: nothing is known to be there */
	struct os_facts *facts;
};

/* What is wrong with one file system is told there; what is wrong with the appliance ends all. */
static int tell(struct json *fs, const struct error *why, struct error *err)
{
	if (why->kind == ERROR_INPUT)
		return report_set_once(fs, why->errnum == ENODEV ? "unread" : "damage", why->text, err);
	if (err)
		*err = *why;
	return -1;
}

static int read_mounted(struct look *l, struct reader *r, struct json *fs, struct error *err)
{
	struct error why = ERROR_INIT;
	uint64_t size, used;
	int ret = guest_disks_usage(l->disks, &size, &used, &why);

	if (ret == 0 && report_set_usage(fs, size, used, err) < 0)
		return -1;
	if (ret == 0)
		ret = os_facts_look(l->facts, r, false, &why);
	return ret < 0 ? tell(fs, &why, err) : 0;
}

static bool knows_system(const struct os_facts *f)
{
	return f->id || f->name;
}

/*
 * The first names at the top, where distributions put their root ("root", "@"); in their order. Those that mount(8)
 * cannot be told are passed over: a comma ends an option, and quotes hide commas.
 */
struct subvolumes {
	char *names[SUBVOLUMES_TRIED];
	size_t nr;
};

static int add_subvolume(void *arg, const char *path, struct error *err)
{
	struct subvolumes *s = arg;

	if (strpbrk(path, "/,\"") || s->nr == SUBVOLUMES_TRIED)
		return 0;
	s->names[s->nr] = strdup(path);
	return s->names[s->nr++] ? 0 : error_nomem(err, "a subvolume");
}

static int read_subvolume(struct look *l, size_t index, const char *name, struct error *err)
{
	struct reader *r = guest_disks_mount_subvolume(l->disks, index, name, err);
	int ret = r ? os_facts_look(l->facts, r, false, err) : -1;

	reader_close(r);
	return ret;
}

/* The default subvolume is not always the one with the system. */
static int read_subvolumes(struct look *l, size_t index, struct error *err)
{
	struct subvolumes s = {.nr = 0};
	int ret = guest_disks_subvolumes(l->disks, index, add_subvolume, &s, err);

	for (size_t i = 0; i < s.nr; i++) {
		if (ret == 0 && !knows_system(l->facts))
			ret = read_subvolume(l, index, s.names[i], err);
		free(s.names[i]);
	}
	return ret;
}

static int read_files(struct look *l, size_t index, const char *type, struct json *fs, struct error *err)
{
	struct error why = ERROR_INIT;
	bool known = knows_system(l->facts);
	struct reader *r = guest_disks_mount(l->disks, index, &why);
	int ret = r ? read_mounted(l, r, fs, err) : tell(fs, &why, err);

	reader_close(r);
	if (ret < 0 || !r || known || knows_system(l->facts) || strcmp(type, "btrfs"))
		return ret;
	return read_subvolumes(l, index, &why) < 0 ? tell(fs, &why, err) : 0;
}

static bool has_volumes(const struct look *l, size_t index)
{
	for (size_t i = index + 1; i < l->nr; i++)
		if (l->volumes[i].in == index)
			return true;
	return false;
}

/* What lies in a member of something is told as volumes; that nothing does needs a reason. */
static int look_member(struct look *l, size_t index, const char *type, struct json *fs, struct error *err)
{
	const struct guest_volume *v = &l->volumes[index];
	const char *why = NULL;

	if (*v->group)
		return json_set_str(fs, "group", v->group, err);
	if (!strcmp(type, "LVM2_member"))
		why = "its group could not be read";
	else if (!strcmp(type, "linux_raid_member"))
		why = "its array could not be assembled: other members are not in the image";
	else if (v->locked)
		why = "encrypted, and the passphrase does not open it";
	else if (!has_volumes(l, index))
		why = "encrypted: not looked into";
	return why ? report_set_once(fs, "unread", why, err) : 0;
}

static int look_at(struct look *l, size_t index, struct error *err)
{
	static const char *const members[] = {"LVM2_member", "linux_raid_member", "crypto_LUKS"};
	static const char *const fileless[] = {"swap", "DM_verity_hash", "BitLocker", "zfs_member",
		"DM_snapshot_cow", "jbd"};
	struct json *fs = l->objects[index];
	const char *type = json_get_str(fs, "type", "");

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (!strcmp(type, members[i]))
			return look_member(l, index, type, fs, err);
	for (size_t i = 0; i < ARRAY_SIZE(fileless); i++)
		if (!strcmp(type, fileless[i]))
			return 0;
	return fs ? read_files(l, index, type, fs, err) : 0;
}

static struct json *volume_fs(const struct guest_volume *v, struct error *err)
{
	CLEANUP(json_cleanup) struct json *fs = json_new_object(err);

	if (!fs || json_set_str(fs, "type", v->type, err) < 0 ||
		json_set_str(fs, "label", v->label, err) < 0 || json_set_str(fs, "uuid", v->uuid, err) < 0)
		return NULL;
	return steal_ptr(&fs);
}

/* Adds a volume to the "volumes" of what it lies in. */
static int add_volume(struct look *l, size_t index, struct error *err)
{
	const struct guest_volume *v = &l->volumes[index];
	struct json *below = l->objects[v->in], *list = json_get(below, "volumes");
	CLEANUP(json_cleanup) struct json *volume = json_new_object(err);

	if (!volume || json_set_str(volume, "name", *v->name ? v->name : NULL, err) < 0 ||
		(v->size ? json_set_int(volume, "size", (int64_t)v->size, err) :
			   json_set_str(volume, "size", NULL, err)) < 0)
		return -1;
	if (!list) {
		if (json_set(below, "volumes", json_new_array(err), err) < 0)
			return -1;
		list = json_get(below, "volumes");
	}
	if (*v->type) {
		if (json_set(volume, "filesystem", volume_fs(v, err), err) < 0)
			return -1;
		l->objects[index] = json_get(volume, "filesystem");
	} else if (json_set_str(volume, "filesystem", NULL, err) < 0 ||
		   (!v->size && json_set_str(volume, "unread", "not active: parts of it are missing", err) < 0)) {
		return -1;
	}
	return json_append(list, steal_ptr(&volume), err);
}

static int look_all(struct look *l, const struct report_deep *d, struct error *err)
{
	l->objects = calloc(l->nr + 1, sizeof(struct json *));
	if (!l->objects)
		return error_nomem(err, "the volumes of an image");
	memcpy(l->objects, d->objects, d->nr * sizeof(struct json *));
	for (size_t i = 0; i < l->nr; i++) {
		if (i >= d->nr && l->objects[l->volumes[i].in] && add_volume(l, i, err) < 0)
			return -1;
		if (look_at(l, i, err) < 0)
			return -1;
	}
	return 0;
}

static struct guest_disks *open_disks(const struct report_deep *d, struct error *err)
{
	CLEANUP_FREE const char **types = calloc(d->nr, sizeof(*types));

	if (!types)
		return error_nomem(err, "the types of file systems"), NULL;
	for (size_t i = 0; i < d->nr; i++)
		types[i] = json_get_str(d->objects[i], "type", "");
	return guest_disks_open(d->devs, types, d->nr, d->opts, err);
}

static int run(struct report_deep *d, struct os_facts *facts, struct error *err)
{
	struct look l = {.facts = facts};
	struct error close_err = ERROR_INIT;
	int ret;

	l.disks = open_disks(d, err);
	if (!l.disks)
		return -1;
	l.volumes = guest_disks_volumes(l.disks, &l.nr);
	ret = look_all(&l, d, err);
	free(l.objects);
	/* A device that cannot be read explains all that the appliance says. */
	if (guest_disks_close(l.disks, &close_err) == 0 || (ret < 0 && err && err->kind == ERROR_INTERRUPTED))
		return ret;
	if (err)
		*err = close_err;
	return -1;
}

int report_deep_run(struct report_deep *d, struct os_facts *facts, struct error *err)
{
	struct error why = ERROR_INIT;

	if (!d->nr || run(d, facts, &why) == 0)
		return 0;
	if (why.kind == ERROR_IO)
		error_wrap(&why, why.errnum == ETIMEDOUT ? "--deep (--timeout gives it longer)" :
							   "--deep (-v shows all that libguestfs says)");
	if (err)
		*err = why;
	return -1;
}
