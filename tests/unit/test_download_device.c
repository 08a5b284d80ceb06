/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device this is, by what the kernel says of it: folders that look like sysfs, one for each kind.
 */
#include "uploader/download_device.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/lib/tmpdir.h"

static char dir[4000];

static int setup(void **state)
{
	*state = tmpdir_new();
	snprintf(dir, sizeof(dir), "%s", (const char *)*state);
	return 0;
}

static int teardown(void **state)
{
	tmpdir_free(*state);
	return 0;
}

static void folder(const char *name)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void put(const char *name, const char *value)
{
	char path[4200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(value, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* A disk with a partition sda1, and the id of a boot. */
static void make_disk(const char *dev, const char *removable)
{
	folder("sda");
	folder("sda/device");
	put("sda/dev", dev);
	put("sda/removable", removable);
	put("boot_id", "6d0a\n");
	folder("sda/sda1");
	put("sda/sda1/partition", "1\n");
	put("sda/sda1/start", "2048\n");
	put("sda/sda1/size", "8192\n");
}

/* expected: NULL when nothing is known. */
static void check(const char *name, const char *expected)
{
	char path[4200], boot[4200];
	struct error err = ERROR_INIT;
	char *id;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(boot, sizeof(boot), "%s/boot_id", dir);
	if (download_device_id_at(-1, path, boot, &id, &err) < 0)
		fail_msg("%s", err.text);
	if (expected)
		assert_string_equal(id ? id : "(none)", expected);
	else
		assert_null(id);
	free(id);
}

static void test_by_its_own_id(void **state)
{
	(void)state;
	make_disk("8:0\n", "0\n");
	put("sda/diskseq", "9\n");
	put("sda/serial", "vol1\n");
	check("sda", "serial vol1 model ");
	put("sda/device/model", "Amazon EBS      \n");
	put("sda/device/wwid", "t10.ATA   A  \n");
	check("sda", "device/wwid t10.ATA   A model Amazon EBS");
	put("sda/wwid", "nvme.1d0f-1\n");
	check("sda", "wwid nvme.1d0f-1 model Amazon EBS");
	check("sda/sda1", "wwid nvme.1d0f-1 model Amazon EBS partition start 2048 size 8192");
}

static void test_medium_that_can_be_changed(void **state)
{
	(void)state;
	make_disk("8:0\n", "1\n");
	put("sda/wwid", "reader\n");
	check("sda", NULL);
	check("sda/sda1", NULL);
	put("sda/diskseq", "9\n");
	check("sda", "wwid reader model  boot 6d0a diskseq 9");
}

static void test_mapped(void **state)
{
	(void)state;
	make_disk("253:0\n", "0\n");
	folder("sda/dm");
	put("sda/dm/uuid", "\n");
	put("sda/diskseq", "9\n");
	check("sda", "boot 6d0a diskseq 9");
	put("sda/dm/uuid", "LVM-abc\n");
	check("sda", "dm/uuid LVM-abc model ");
}

static void test_nothing_known(void **state)
{
	(void)state;
	make_disk("8:0\n", "0\n");
	check("sda", NULL);
	check("sda/sda1", NULL);
	check("sdb", NULL);
	put("sda/diskseq", "9\n");
	check("sda/sda1", "boot 6d0a diskseq 9 partition start 2048 size 8192");
	put("sda/sda1/size", "");
	check("sda/sda1", NULL);
	put("boot_id", "");
	check("sda", NULL);
}

/* The kernel does not count what another server exports under the same name. */
static void test_nbd(void **state)
{
	(void)state;
	make_disk("43:0\n", "0\n");
	put("sda/diskseq", "9\n");
	check("sda", NULL);
	check("sda/sda1", NULL);
}

/* Cut, it would be that of others too. */
static void test_long_value(void **state)
{
	char text[512];

	(void)state;
	make_disk("8:0\n", "0\n");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	put("sda/wwid", text);
	check("sda", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_by_its_own_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_medium_that_can_be_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_known, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nbd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_value, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
