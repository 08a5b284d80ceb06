/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which disks an array lies in, when the appliance's kernel has found them in another order than they were given: that
 * cannot be had from a real one at will. tests/integration/test_inspect_deep.py has the real one.
 */
#include "fs/guest_volumes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

static char **list(const char *const *items, size_t nr)
{
	char **copy = calloc(nr + 1, sizeof(*copy));

	assert_non_null(copy);
	for (size_t i = 0; i < nr; i++) {
		copy[i] = strdup(items[i]);
		assert_non_null(copy[i]);
	}
	return copy;
}

static char **list_md_devices(guestfs_h *g)
{
	static const char *const arrays[] = {"/dev/md126", "/dev/md127"};

	(void)g;
	return list(arrays, ARRAY_SIZE(arrays));
}

static char **md_detail(guestfs_h *g, const char *md)
{
	const char *const about[] = {"level", "raid1", "uuid", strcmp(md, "/dev/md126") ?
		"3aaa0122:29827cfa:5331ad66:ca767371" : "3aaa0122:29827cfa:5331ad66:ca767370"};

	(void)g;
	return list(about, ARRAY_SIZE(about));
}

static char *vfs_uuid(guestfs_h *g, const char *device)
{
	static const struct {
		const char *device, *uuid;
	} known[] = {
		{"/dev/sdb", "3aaa0122-2982-7cfa-5331-ad66ca767371"},
		{"/dev/sdc", "3AAA0122-2982-7CFA-5331-AD66CA767371"},
		{"/dev/sdd", "3aaa0122-2982-7cfa-5331-ad66ca76737"},
		{"/dev/md127", "a file system's"},
	};

	(void)g;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i].device, device))
			return strdup(known[i].uuid);
	fail_msg("the uuid of '%s' is nobody's business", device);
	return NULL;
}

static char *vfs_type(guestfs_h *g, const char *device)
{
	(void)g;
	(void)device;
	return strdup("ext4");
}

static char *vfs_label(guestfs_h *g, const char *device)
{
	(void)g;
	(void)device;
	return strdup("");
}

static int64_t blockdev_getsize64(guestfs_h *g, const char *device)
{
	(void)g;
	(void)device;
	return 1 << 20;
}

static char *debug(guestfs_h *g, const char *what, const char *const *args)
{
	(void)g;
	(void)what;
	(void)args;
	return strdup("");
}

static void test_array_by_uuid(void **state)
{
	static const char *const types[] = {"ext4", "linux_raid_member", "linux_raid_member", "linux_raid_member"};
	struct guest g = {.handle = NULL};
	struct guest_volumes v;

	(void)state;
	guest_api = (struct guest_api){.list_md_devices = list_md_devices, .md_detail = md_detail, .debug = debug,
		.vfs_uuid = vfs_uuid, .vfs_type = vfs_type, .vfs_label = vfs_label,
		.blockdev_getsize64 = blockdev_getsize64};
	assert_int_equal(guest_volumes_find(&g, types, ARRAY_SIZE(types), NULL, &v, NULL), 0);
	/* No disk has the other array's uuid: it lies in none. */
	assert_int_equal(v.nr, 5);
	assert_string_equal(v.items[0].group, "");
	assert_string_equal(v.items[1].group, "md127");
	assert_string_equal(v.items[2].group, "md127");
	assert_string_equal(v.items[3].group, "");
	assert_string_equal(v.items[4].name, "md127");
	assert_string_equal(v.items[4].type, "ext4");
	assert_int_equal(v.items[4].in, 1);
	guest_volumes_release(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_array_by_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
