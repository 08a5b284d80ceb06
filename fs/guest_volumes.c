/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes within volumes: arrays of md, volumes of LVM, what LUKS hides, each in any other. The
 * appliance assembles arrays (also those that lack disks) and activates groups when it starts; what LUKS
 * gives is looked through again, until nothing new comes up.
 */
#include "fs/guest_volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/num.h"

struct search {
	struct guest *g;
	const char *key;
	struct guest_volumes *v;
	size_t seen; /* volumes that have been looked for others in */
};

static void free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

DEFINE_CLEANUP(list, char *, free_list)

/* Something that one volume does not have is no error; an appliance that is no more is one. */
static int check_lack(struct guest *g, const char *what, const char *device, struct error *err)
{
	struct error why = ERROR_INIT;

	guest_error_about(g, &why, what, device);
	if (why.kind == ERROR_INPUT)
		return 0;
	if (err)
		*err = why;
	return -1;
}

/* What blkid says of a device; "" when it says nothing. */
static int ask(struct guest *g, char *(*call)(guestfs_h *g, const char *device), const char *device,
	const char **out, struct error *err)
{
	char *text = call(g->handle, device);

	if (!text && check_lack(g, "cannot tell what is on", device, err) < 0)
		return -1;
	*out = text ? text : strdup("");
	return *out ? 0 : error_nomem(err, "a volume");
}

static int copy(const char *text, const char **out, struct error *err)
{
	*out = strdup(text);
	return *out ? 0 : error_nomem(err, "a volume");
}

static void free_text(const char *text)
{
	union {
		const char *borrowed;
		char *owned;
	} u = {text};

	free(u.owned);
}

static void release(struct guest_volume *v)
{
	free_text(v->device);
	free_text(v->name);
	free_text(v->group);
	free_text(v->type);
	free_text(v->label);
	free_text(v->uuid);
}

void guest_volumes_release(struct guest_volumes *v)
{
	for (size_t i = 0; i < v->nr; i++)
		release(&v->items[i]);
	free(v->items);
	*v = (struct guest_volumes){NULL, 0, 0};
}

static int fill(struct guest *g, struct guest_volume *v, struct error *err)
{
	const char *device = v->device;
	int64_t size;

	if (guest_check(g, err) < 0)
		return -1;
	size = guest_api.blockdev_getsize64(g->handle, device);
	if (size < 0 && check_lack(g, "cannot tell the size of", device, err) < 0)
		return -1;
	v->size = size > 0 ? (uint64_t)size : 0;
	if (!v->size)
		return copy("", &v->type, err) < 0 || copy("", &v->label, err) < 0 ||
				       copy("", &v->uuid, err) < 0 ?
			       -1 :
			       0;
	return ask(g, guest_api.vfs_type, device, &v->type, err) < 0 ||
			       ask(g, guest_api.vfs_label, device, &v->label, err) < 0 ||
			       ask(g, guest_api.vfs_uuid, device, &v->uuid, err) < 0 ?
		       -1 :
		       0;
}

/* Without more than its names. */
static struct guest_volume *append(struct search *s, const char *device, const char *name, size_t in,
	struct error *err)
{
	struct guest_volumes *v = s->v;
	struct guest_volume *item;

	if (v->nr >= GUEST_VOLUMES_MAX)
		return error_null(err, ERROR_INPUT, 0, "there are more than %d volumes in the image",
			GUEST_VOLUMES_MAX);
	if (ARRAY_GROW(v->items, v->nr + 1, v->alloc, "the volumes of an image", err) < 0)
		return NULL;
	item = &v->items[v->nr++];
	*item = (struct guest_volume){.in = in};
	return copy(device, &item->device, err) < 0 || copy(name, &item->name, err) < 0 ||
			       copy("", &item->group, err) < 0 ?
		       NULL :
		       item;
}

static int add(struct search *s, const char *device, const char *name, size_t in, struct error *err)
{
	struct guest_volume *v = append(s, device, name, in, err);

	return v ? fill(s->g, v, err) : -1;
}

/* Of a disk it is known what it holds: each question to blkid is a program that the appliance runs. */
static int add_disk(struct search *s, size_t index, const char *type, struct error *err)
{
	char device[GUEST_DISK_NAME];
	struct guest_volume *v = append(s, guest_disk_name(device, index), "", index, err);

	return v && copy(type, &v->type, err) == 0 && copy("", &v->label, err) == 0 &&
			       copy("", &v->uuid, err) == 0 ?
		       0 :
		       -1;
}

static size_t find(const struct guest_volumes *v, const char *device)
{
	for (size_t i = 0; i < v->nr; i++)
		if (!strcmp(v->items[i].device, device))
			return i;
	return SIZE_MAX;
}

static const char *name_of(const char *device)
{
	return strncmp(device, "/dev/", 5) ? device : device + 5;
}

static int set_group(struct guest_volume *v, const char *group, struct error *err)
{
	free_text(v->group);
	v->group = NULL;
	return copy(group, &v->group, err);
}

/* By their hex digits: mdadm and blkid put other signs between them. */
static bool same_uuid(const char *a, const char *b)
{
	do {
		while (*a && hex_digit(*a) < 0)
			a++;
		while (*b && hex_digit(*b) < 0)
			b++;
		if (hex_digit(*a) != hex_digit(*b))
			return false;
	} while (*a++ && *b++);
	return true;
}

/* The uuid of an array; NULL when it is not told. */
static const char *array_uuid(char *const *about)
{
	for (; about[0] && about[1]; about += 2)
		if (!strcmp(about[0], "uuid"))
			return about[1];
	return NULL;
}

/*
 * Marks the members of an array; *in: the first one. They are found by the array's uuid, which each has: their names in
 * the kernel, which guestfs_md_stat() gives, are not those of libguestfs when disks come up in another order.
 */
static int mark_array(struct search *s, const char *device, const char *uuid, size_t *in, struct error *err)
{
	*in = SIZE_MAX;
	for (size_t i = 0; i < s->v->nr; i++) {
		struct guest_volume *v = &s->v->items[i];
		const char *of = NULL;
		bool member;
		int ret;

		if (strcmp(v->type, "linux_raid_member"))
			continue;
		if (guest_check(s->g, err) < 0 || ask(s->g, guest_api.vfs_uuid, v->device, &of, err) < 0)
			return -1;
		member = same_uuid(of, uuid);
		free_text(of);
		ret = member ? set_group(v, name_of(device), err) : 0;
		if (member)
			*in = MIN(*in, i);
		if (ret < 0)
			return -1;
	}
	return 0;
}

static int add_array(struct search *s, const char *device, struct error *err)
{
	CLEANUP(list_cleanup) char **about = NULL;
	const char *uuid;
	size_t in;

	if (guest_check(s->g, err) < 0)
		return -1;
	about = guest_api.md_detail(s->g->handle, device);
	if (!about)
		return check_lack(s->g, "cannot tell the parts of", device, err);
	uuid = array_uuid(about);
	if (!uuid || !*uuid)
		return 0;
	if (mark_array(s, device, uuid, &in, err) < 0)
		return -1;
	return in < s->v->nr ? add(s, device, name_of(device), in, err) : 0;
}

static bool any_of_type(const struct guest_volumes *v, size_t from, const char *type)
{
	for (size_t i = from; i < v->nr; i++)
		if (!strcmp(v->items[i].type, type))
			return true;
	return false;
}

/*
 * udev puts what it sees of an array together, and waits for the members that are missing: forever.
 * libguestfs has no call to start what there is; a libguestfs without "debug" leaves it so.
 */
static int start_arrays(struct search *s, struct error *err)
{
	static const char *const argv[] = {
		"for d in /dev/md[0-9]*; do mdadm --run $d; done; udevadm settle --timeout=30", NULL};
	CLEANUP_FREE char *said = NULL;

	if (guest_check(s->g, err) < 0)
		return -1;
	said = guest_api.debug(s->g->handle, "sh", argv);
	return said ? 0 : check_lack(s->g, "cannot start", "md", err);
}

static int find_arrays(struct search *s, struct error *err)
{
	CLEANUP(list_cleanup) char **arrays = NULL;

	if (!any_of_type(s->v, s->seen, "linux_raid_member"))
		return 0;
	if (start_arrays(s, err) < 0 || guest_check(s->g, err) < 0)
		return -1;
	arrays = guest_api.list_md_devices(s->g->handle);
	if (!arrays)
		return check_lack(s->g, "cannot list", "md", err);
	for (size_t i = 0; arrays[i]; i++)
		if (find(s->v, arrays[i]) == SIZE_MAX && add_array(s, arrays[i], err) < 0)
			return -1;
	return 0;
}

static bool contains(char *const *list, const char *text)
{
	for (; *list; list++)
		if (!strcmp(*list, text))
			return true;
	return false;
}

/* Which physical volumes are parts of the group. */
static int mark_group(struct search *s, const char *group, struct error *err)
{
	CLEANUP(list_cleanup) char **uuids = guest_api.vgpvuuids(s->g->handle, group);

	if (!uuids)
		return check_lack(s->g, "cannot tell the parts of", group, err);
	for (size_t i = 0; i < s->v->nr; i++) {
		struct guest_volume *v = &s->v->items[i];
		CLEANUP_FREE char *uuid = NULL;

		if (strcmp(v->type, "LVM2_member") || *v->group)
			continue;
		uuid = guest_api.pvuuid(s->g->handle, v->device);
		if (!uuid && check_lack(s->g, "cannot tell the group of", v->device, err) < 0)
			return -1;
		if (uuid && contains(uuids, uuid) && set_group(v, group, err) < 0)
			return -1;
	}
	return 0;
}

static int mark_groups(struct search *s, struct error *err)
{
	CLEANUP(list_cleanup) char **groups = NULL;

	if (guest_check(s->g, err) < 0)
		return -1;
	groups = guest_api.vgs(s->g->handle);
	if (!groups)
		return check_lack(s->g, "cannot list", "LVM", err);
	for (size_t i = 0; groups[i]; i++)
		if (mark_group(s, groups[i], err) < 0)
			return -1;
	return 0;
}

/* device: "/dev/GROUP/NAME" */
static int add_logical(struct search *s, const char *device, struct error *err)
{
	const char *name = name_of(device);
	size_t len = strcspn(name, "/");

	for (size_t i = 0; i < s->v->nr; i++) {
		const char *group = s->v->items[i].group;

		if (strlen(group) == len && len && !strncmp(group, name, len))
			return add(s, device, name, i, err);
	}
	return 0;
}

/*
 * Activates what the appliance has left: members that came up later, and groups that lack others. Of
 * those some volumes cannot be, which fails and is told of each.
 */
static int activate(struct search *s, struct error *err)
{
	if (guest_check(s->g, err) < 0)
		return -1;
	if (guest_api.lvm_scan(s->g->handle, 1) < 0 && check_lack(s->g, "cannot look for", "LVM", err) < 0)
		return -1;
	if (guest_api.vg_activate_all(s->g->handle, 1) < 0)
		return check_lack(s->g, "cannot activate", "LVM", err);
	return 0;
}

static int find_logical(struct search *s, struct error *err)
{
	CLEANUP(list_cleanup) char **volumes = NULL;

	if (!any_of_type(s->v, s->seen, "LVM2_member"))
		return 0;
	if (activate(s, err) < 0 || mark_groups(s, err) < 0 || guest_check(s->g, err) < 0)
		return -1;
	volumes = guest_api.lvs(s->g->handle);
	if (!volumes)
		return check_lack(s->g, "cannot list", "LVM", err);
	for (size_t i = 0; volumes[i]; i++)
		if (find(s->v, volumes[i]) == SIZE_MAX && add_logical(s, volumes[i], err) < 0)
			return -1;
	return 0;
}

static int open_luks(struct search *s, size_t index, struct error *err)
{
	char mapped[40], device[60];
	struct guest_volume *v = &s->v->items[index];

	if (guest_check(s->g, err) < 0)
		return -1;
	snprintf(mapped, sizeof(mapped), "opened%zu", index);
	snprintf(device, sizeof(device), "/dev/mapper/%s", mapped);
	if (guest_api.cryptsetup_open(s->g->handle, v->device, s->key, mapped, CRYPTSETUP_OPEN_READONLY,
		    1, GUEST_API_END) == 0)
		return add(s, device, "", index, err);
	v->locked = true;
	return check_lack(s->g, "cannot open", v->device, err);
}

static int open_all(struct search *s, size_t end, struct error *err)
{
	for (size_t i = s->seen; s->key && i < end; i++)
		if (!strcmp(s->v->items[i].type, "crypto_LUKS") && open_luks(s, i, err) < 0)
			return -1;
	return 0;
}

int guest_volumes_find(struct guest *g, const char *const *types, size_t nr_disks, const char *key,
	struct guest_volumes *out, struct error *err)
{
	struct search s = {g, key, out, 0};

	*out = (struct guest_volumes){NULL, 0, 0};
	for (size_t i = 0; i < nr_disks; i++)
		if (add_disk(&s, i, types[i], err) < 0)
			return -1;
	while (s.seen < out->nr) {
		size_t end = out->nr;

		if (find_arrays(&s, err) < 0 || find_logical(&s, err) < 0 || open_all(&s, end, err) < 0)
			return -1;
		s.seen = end;
	}
	return 0;
}
