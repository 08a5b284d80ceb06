/* SPDX-License-Identifier: Apache-2.0 */
/* Partition tables: what we write is checked by sfdisk and sgdisk, what sfdisk writes is read. */
#include "fs/partition.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/disk.h"
#include "base/filedev.h"
#include "base/num.h"

static char dir[256];

static int make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/amiwright-partition-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/disk", dir);
	unlink(path);
	return rmdir(dir);
}

static const char *disk_path(void)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/disk", dir);
	return path;
}

/* Runs a shell command with %s replaced by the disk's path; its exit status. */
static int run(const char *fmt)
{
	char command[1200];
	const char *at = strstr(fmt, "%s");

	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; %.*s%s%s",
		(int)(at - fmt), fmt, disk_path(), at + 2);
	return system(command);
}

static bool have(const char *program)
{
	char command[128];

	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin:/sbin; command -v %s >/dev/null",
		program);
	return system(command) == 0;
}

static struct dev *new_file(uint64_t size, struct error *err)
{
	int fd = open(disk_path(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return filedev_from_fd(fd, true, "disk", err);
}

static void fill(uint8_t guid[16], uint8_t value)
{
	for (int i = 0; i < 16; i++)
		guid[i] = (uint8_t)(value + i);
}

static const struct partition_request requests[] = {
	{.name = "bios", .size = MIB},
	{.name = "esp", .size = 64 * MIB - 5},
	{.name = "Wurzel äß€", .min_size = 100 * MIB},
};

static void example(struct partition_table *table, struct partition parts[3], uint64_t size)
{
	static const char *const types[] = {"bios-boot", "esp", "root"};
	struct error err = ERROR_INIT;

	memset(parts, 0, 3 * sizeof(*parts));
	assert_int_equal(partition_layout(PARTITION_TABLE_GPT, requests, 3, size, parts, NULL, &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(partition_type(types[i], "arm64", parts[i].type, &err), 0);
		fill(parts[i].uuid, (uint8_t)(16 * i + 1));
		strcpy(parts[i].name, requests[i].name);
	}
	parts[2].attrs = UINT64_C(1) << 59 | 4;
	*table = (struct partition_table){.kind = PARTITION_TABLE_GPT, .parts = parts, .nr = 3};
	fill(table->guid, 0xa0);
}

static void test_foreign_tools_accept_what_we_write(void **state)
{
	struct partition parts[3];
	struct partition_table table;
	struct error err = ERROR_INIT;
	struct dev *dev = new_file(GIB, &err);

	(void)state;
	assert_non_null(dev);
	example(&table, parts, GIB);
	if (partition_write(dev, &table, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(dev_close(dev, &err), 0);
	assert_int_equal(run("sfdisk --verify %s >/dev/null 2>&1"), 0);
	if (have("sgdisk"))
		assert_int_equal(run("sgdisk -v %s | grep -q 'No problems found'"), 0);
	assert_int_equal(run("sfdisk -d %s | grep -qi 'label-id: A0A1A2A3-A4A5-A6A7-A8A9-AAABACADAEAF'"), 0);
	assert_int_equal(run("sfdisk -d %s | grep -q 'start= *135168, size= *1959936, "
		"type=B921B045-1DF0-41C3-AF44-4C6F280D3FAE, uuid=21222324-2526-2728-292A-2B2C2D2E2F30, "
		"name=\"Wurzel.*attrs=\"LegacyBIOSBootable GUID:59\"'"), 0);
	assert_int_equal(run("sfdisk -d %s | grep -q 'start= *4096, size= *131072, type=C12A7328'"), 0);
}

static void test_written_is_read_back(void **state)
{
	struct partition parts[3];
	struct partition_table table, back;
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(64 * GIB, NULL, &err);

	(void)state;
	assert_non_null(dev);
	example(&table, parts, 64 * GIB);
	assert_int_equal(partition_write(dev, &table, &err), 0);
	assert_int_equal(partition_read(dev, &back, &err), 0);
	assert_int_equal(back.kind, PARTITION_TABLE_GPT);
	assert_memory_equal(back.guid, table.guid, 16);
	assert_int_equal(back.nr, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(back.parts[i].off, parts[i].off);
		assert_int_equal(back.parts[i].len, parts[i].len);
		assert_memory_equal(back.parts[i].type, parts[i].type, 16);
		assert_memory_equal(back.parts[i].uuid, parts[i].uuid, 16);
		assert_string_equal(back.parts[i].name, parts[i].name);
		assert_true(back.parts[i].attrs == parts[i].attrs);
	}
	assert_string_equal(partition_type_name(back.parts[2].type), "root-arm64");
	partition_table_release(&back);
	dev_close(dev, NULL);
}

static void test_only_the_tables_become_data_and_always_the_same(void **state)
{
	struct partition parts[3];
	struct partition_table table;
	struct error err = ERROR_INIT;
	struct extent_list list = EXTENT_LIST_INIT;
	static uint8_t bytes[2][17408];

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct dev *dev = disk_new(GIB, NULL, &err);

		assert_non_null(dev);
		example(&table, parts, GIB);
		assert_int_equal(partition_write(dev, &table, &err), 0);
		assert_int_equal(dev_pread(dev, bytes[i], sizeof(bytes[i]), 0, &err), 0);
		extent_list_clear(&list);
		assert_int_equal(dev_extents(dev, MIB, GIB - 2 * MIB, &list, &err), 0);
		assert_int_equal(list.nr, 1);
		assert_int_equal(list.items[0].kind, EXTENT_UNUSED);
		dev_close(dev, NULL);
	}
	extent_list_release(&list);
	assert_memory_equal(bytes[0], bytes[1], sizeof(bytes[0]));
}

static void test_layout_sizes(void **state)
{
	struct partition parts[3];
	struct error err = ERROR_INIT;
	uint64_t needed = 0;

	(void)state;
	assert_int_equal(partition_layout(PARTITION_TABLE_GPT, requests, 3, 0, parts, &needed, &err), 0);
	assert_int_equal(needed, 167 * MIB);
	assert_int_equal(parts[2].len, 100 * MIB);
	assert_int_equal(partition_layout(PARTITION_TABLE_GPT, requests, 3, needed, parts, &needed, &err), 0);
	assert_int_equal(parts[2].off + parts[2].len, 166 * MIB);
	assert_int_equal(partition_layout(PARTITION_TABLE_GPT, requests, 3, needed - MIB, parts, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "Wurzel"));
	assert_non_null(strstr(err.text, "104857600 bytes"));
	assert_int_equal(partition_layout(PARTITION_TABLE_GPT, requests, 3, 40 * MIB, parts, NULL, &err), -1);
	assert_non_null(strstr(err.text, "'esp' needs 64"));
}

static void test_bad_requests_are_refused(void **state)
{
	static const struct partition_request two_rests[] = {{.name = "a"}, {.name = "b"}};
	static const struct partition_request huge[] = {
		{.name = "a", .size = UINT64_MAX - 10}, {.name = "b", .size = MIB}};
	struct partition parts[3];
	struct partition_table table;
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(GIB, NULL, &err);

	(void)state;
	assert_int_equal(partition_layout(PARTITION_TABLE_GPT, two_rests, 2, GIB, parts, NULL, &err), -1);
	assert_int_equal(partition_layout(PARTITION_TABLE_GPT, huge, 2, 0, parts, NULL, &err), -1);
	example(&table, parts, GIB);
	parts[2].len += MIB;
	assert_int_equal(partition_write(dev, &table, &err), -1);
	example(&table, parts, GIB);
	parts[1].len += MIB;
	assert_int_equal(partition_write(dev, &table, &err), -1);
	example(&table, parts, GIB);
	strcpy(parts[1].name, "seven-and-thirty-characters-are-too-m");
	assert_int_equal(partition_write(dev, &table, &err), -1);
	strcpy(parts[1].name, "\xf0\x9f\x90\xa7");
	assert_int_equal(partition_write(dev, &table, &err), -1);
	strcpy(parts[1].name, "a\nb");
	assert_int_equal(partition_write(dev, &table, &err), -1);
	example(&table, parts, GIB);
	memset(parts[1].type, 0, sizeof(parts[1].type));
	assert_int_equal(partition_write(dev, &table, &err), -1);
	assert_non_null(strstr(err.text, "zeros"));
	dev_close(dev, NULL);
}

static void test_type_names(void **state)
{
	static const uint8_t esp[16] = {0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, 0xba, 0x4b,
		0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};
	struct error err = ERROR_INIT;
	uint8_t guid[16];

	(void)state;
	assert_int_equal(partition_type("esp", "x86_64", guid, &err), 0);
	assert_memory_equal(guid, esp, 16);
	memset(guid, 0, sizeof(guid));
	assert_int_equal(
		partition_type("C12A7328-f81f-11d2-ba4b-00a0c93ec93b", "x86_64", guid, &err), 0);
	assert_memory_equal(guid, esp, 16);
	assert_string_equal(partition_type_name(esp), "esp");
	assert_int_equal(partition_type("rot", "x86_64", guid, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	assert_non_null(strstr(err.text, "root, root-verity, esp, "));
	assert_null(partition_type_name((const uint8_t *)"0123456789abcdef"));
}

static struct dev *sfdisk_disk(const char *script)
{
	char command[600];
	struct error err = ERROR_INIT;

	dev_close(new_file(256 * MIB, &err), NULL);
	snprintf(command, sizeof(command), "printf '%s' | sfdisk -q %%s", script);
	assert_int_equal(run(command), 0);
	return filedev_open(disk_path(), &err);
}

static void test_reads_an_mbr_with_logical_partitions(void **state)
{
	struct partition_table t;
	struct error err = ERROR_INIT;
	struct dev *dev = sfdisk_disk("label: dos\\nstart=2048,size=20480,type=83,bootable\\n"
		"start=22528,size=81920,type=5\\nstart=24576,size=4096,type=82\\n"
		"start=30720,size=4096,type=83\\n");

	(void)state;
	assert_non_null(dev);
	assert_int_equal(partition_read(dev, &t, &err), 0);
	assert_int_equal(t.kind, PARTITION_TABLE_MBR);
	assert_int_equal(t.nr, 4);
	assert_true(t.parts[0].bootable);
	assert_int_equal(t.parts[0].off, MIB);
	assert_int_equal(t.parts[2].off, 24576 * 512);
	assert_int_equal(t.parts[2].mbr_type, 0x82);
	assert_int_equal(t.parts[3].off, 30720 * 512);
	assert_int_equal(t.parts[3].len, 2 * MIB);
	for (size_t i = 0; i < t.nr; i++)
		assert_int_equal(t.parts[i].number, ((uint32_t[]){1, 2, 5, 6})[i]);
	partition_table_release(&t);
	dev_close(dev, NULL);
}

static void test_a_damaged_gpt_is_an_error(void **state)
{
	struct partition_table t;
	struct error err = ERROR_INIT;
	struct dev *dev;

	(void)state;
	/* An entry, the header's own sum, and the header's magic. */
	for (int i = 0; i < 3; i++) {
		static const uint64_t where[] = {1024 + 33, 512 + 56, 512};
		int fd;

		dev = sfdisk_disk("label: gpt\\nsize=20480\\n");
		assert_int_equal(partition_read(dev, &t, &err), 0);
		assert_int_equal(t.nr, 1);
		partition_table_release(&t);
		dev_close(dev, NULL);
		fd = open(disk_path(), O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, "\xa5", 1, (off_t)where[i]), 1);
		close(fd);
		dev = filedev_open(disk_path(), &err);
		assert_int_equal(partition_read(dev, &t, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_non_null(strstr(err.text, "damaged GUID"));
		dev_close(dev, NULL);
	}
}

/* An MBR's first entry in place of the protective one. */
static int read_with_mbr(const uint8_t entry[16], struct partition_table *t, struct error *err)
{
	uint8_t mbr[66] = {0};
	struct dev *dev;
	int ret, fd;

	dev_close(sfdisk_disk("label: gpt\\nsize=20480\\n"), NULL);
	memcpy(mbr, entry, 16);
	memcpy(mbr + 64, "\x55\xaa", 2);
	fd = open(disk_path(), O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, mbr, sizeof(mbr), 446), sizeof(mbr));
	close(fd);
	dev = filedev_open(disk_path(), err);
	ret = partition_read(dev, t, err);
	dev_close(dev, NULL);
	return ret;
}

static void test_a_gpt_without_protection(void **state)
{
	static const uint8_t empty[16], elsewhere[16] = {[4] = 0xee, [8] = 2, [13] = 1},
		linux_part[16] = {[4] = 0x83, [9] = 0x10, [13] = 0x10},
		protective[16] = {[4] = 0xee, [8] = 1, [13] = 1};
	const uint8_t *const none[] = {elsewhere, empty};
	struct partition_table t;
	struct error err = ERROR_INIT;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(read_with_mbr(none[i], &t, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_non_null(strstr(err.text, "table is whole, but the first sector has no protective entry"));
	}
	assert_int_not_equal(run("sfdisk -d %s | grep -q 'label: gpt'"), 0);
	/* As the message advises. */
	if (have("gdisk")) {
		assert_int_equal(run("printf '2\\nw\\ny\\n' | gdisk %s >/dev/null"), 0);
		assert_int_equal(run("sfdisk -d %s | grep -q 'label: gpt'"), 0);
	}
	assert_int_equal(read_with_mbr(linux_part, &t, &err), 0);
	assert_int_equal(run("sfdisk -d %s | grep -q 'start= *4096, size= *4096, type=83'"), 0);
	assert_true(t.kind == PARTITION_TABLE_MBR && t.gpt_ignored && t.nr == 1);
	assert_int_equal(t.parts[0].off, 2 * MIB);
	partition_table_release(&t);
	assert_int_equal(read_with_mbr(protective, &t, &err), 0);
	assert_true(t.kind == PARTITION_TABLE_GPT && !t.gpt_ignored);
	partition_table_release(&t);
}

static void test_an_image_made_larger_still_reads(void **state)
{
	struct partition_table t;
	struct error err = ERROR_INIT;

	(void)state;
	dev_close(sfdisk_disk("label: gpt\\nsize=20480\\n"), NULL);
	assert_int_equal(truncate(disk_path(), 300 * MIB), 0);
	struct dev *dev = filedev_open(disk_path(), &err);
	assert_int_equal(partition_read(dev, &t, &err), 0);
	assert_int_equal(t.nr, 1);
	partition_table_release(&t);
	dev_close(dev, NULL);
}

static void test_no_table(void **state)
{
	struct partition_table t;
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(MIB, NULL, &err);

	(void)state;
	assert_int_equal(partition_read(dev, &t, &err), 0);
	assert_int_equal(t.kind, PARTITION_TABLE_NONE);
	dev_close(dev, NULL);
	dev = disk_new(100, NULL, &err);
	assert_int_equal(partition_read(dev, &t, &err), 0);
	assert_int_equal(t.kind, PARTITION_TABLE_NONE);
	dev_close(dev, NULL);
}

/* MBR of an ESP and a root partition, as the example has them without bios-boot. */
static void mbr_example(struct partition_table *table, struct partition parts[3], uint64_t size)
{
	struct error err = ERROR_INIT;

	example(table, parts, size);
	table->kind = PARTITION_TABLE_MBR;
	table->parts = parts + 1;
	table->nr = 2;
	assert_int_equal(partition_layout(PARTITION_TABLE_MBR, requests + 1, 2, size, parts + 1,
				 NULL, &err),
		0);
	parts[2].bootable = true;
}

static void test_foreign_tools_accept_an_mbr(void **state)
{
	struct partition parts[3];
	struct partition_table table, back;
	struct error err = ERROR_INIT;
	struct dev *dev = new_file(GIB, &err);
	char id[PARTITION_ID_TEXT];

	(void)state;
	assert_non_null(dev);
	mbr_example(&table, parts, GIB);
	/* Nothing lies behind an MBR's partitions. */
	assert_int_equal(parts[2].off + parts[2].len, GIB);
	if (partition_write(dev, &table, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(partition_read(dev, &back, &err), 0);
	assert_int_equal(back.kind, PARTITION_TABLE_MBR);
	assert_int_equal(back.nr, 2);
	assert_true(back.parts[1].bootable && back.parts[1].off == parts[2].off);
	partition_table_release(&back);
	partition_id_text(&table, 1, id);
	assert_string_equal(id, "a0a1a2a3-02");
	assert_int_equal(dev_close(dev, &err), 0);
	assert_int_equal(run("sfdisk --verify %s >/dev/null 2>&1"), 0);
	assert_int_equal(run("sfdisk -d %s | grep -q 'label-id: 0xa0a1a2a3'"), 0);
	assert_int_equal(run("sfdisk -d %s | grep -q 'start= *2048, size= *131072, type=ef$'"), 0);
	assert_int_equal(run("sfdisk -d %s | "
			     "grep -q 'start= *133120, size= *1964032, type=83, bootable'"),
		0);
}

/* sfdisk gives the same bytes for the same table, CHS addresses too. */
static void test_an_mbr_is_the_same_as_sfdisks(void **state)
{
	struct partition parts[3];
	struct partition_table table;
	struct error err = ERROR_INIT;
	uint8_t ours[512], theirs[512];
	struct dev *dev = new_file(GIB, &err);

	(void)state;
	mbr_example(&table, parts, GIB);
	assert_int_equal(partition_write(dev, &table, &err), 0);
	assert_int_equal(dev_pread(dev, ours, sizeof(ours), 0, &err), 0);
	assert_int_equal(dev_close(dev, &err), 0);
	dev_close(new_file(GIB, &err), NULL);
	assert_int_equal(run("printf 'label: dos\\nlabel-id: 0xa0a1a2a3\\n"
			     "start=2048,size=131072,type=ef\\nstart=133120,size=1964032,type=83,bootable\\n' "
			     "| sfdisk -q %s"),
		0);
	dev = filedev_open(disk_path(), &err);
	assert_int_equal(dev_pread(dev, theirs, sizeof(theirs), 0, &err), 0);
	dev_close(dev, NULL);
	assert_memory_equal(ours, theirs, sizeof(ours));
}

static void test_a_hybrid_table(void **state)
{
	struct partition parts[3];
	struct partition_table table, back;
	struct error err = ERROR_INIT;
	struct dev *dev = new_file(GIB, &err);

	(void)state;
	example(&table, parts, GIB);
	table.kind = PARTITION_TABLE_HYBRID;
	assert_int_equal(partition_write(dev, &table, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	parts[2].bootable = true;
	if (partition_write(dev, &table, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(partition_read(dev, &back, &err), 0);
	assert_int_equal(back.kind, PARTITION_TABLE_GPT);
	assert_int_equal(back.nr, 3);
	assert_true(back.parts[2].hybrid && back.parts[2].bootable && !back.parts[1].hybrid);
	assert_int_equal(back.parts[2].mbr_type, 0x83);
	partition_table_release(&back);
	assert_int_equal(dev_close(dev, &err), 0);
	assert_int_equal(run("sfdisk --verify %s >/dev/null 2>&1"), 0);
	if (have("sgdisk")) {
		assert_int_equal(run("sgdisk -v %s | grep -q 'No problems found'"), 0);
		assert_int_equal(run("sgdisk -p %s 2>&1 | grep -q ' 3 .*8305'"), 0);
	}
	/* The MBR that a system without GPT sees. */
	assert_int_equal(run("sfdisk -d -Y dos %s 2>/dev/null | grep -q "
			     "'start= *1, size= *135167, type=ee'"),
		0);
	assert_int_equal(run("sfdisk -d -Y dos %s 2>/dev/null | grep -q "
			     "'start= *135168, size= *1959936, type=83, bootable'"),
		0);
}

static void test_what_an_mbr_cannot_hold(void **state)
{
	struct partition parts[5] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}, {.name = "e"}};
	struct partition_table table;
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(4 * TIB, NULL, &err);

	(void)state;
	table = (struct partition_table){.kind = PARTITION_TABLE_MBR, .parts = parts, .nr = 5};
	assert_int_equal(partition_check_table(&table, &err), -1);
	assert_non_null(strstr(err.text, "5 partitions"));
	example(&table, parts, GIB);
	table.kind = PARTITION_TABLE_MBR;
	assert_int_equal(partition_write(dev, &table, &err), -1);
	assert_non_null(strstr(err.text, "'bios': an MBR has no type for bios-boot"));
	mbr_example(&table, parts, 4 * TIB);
	assert_int_equal(partition_write(dev, &table, &err), -1);
	assert_non_null(strstr(err.text, "take a GPT"));
	mbr_example(&table, parts, GIB);
	parts[2].off -= MIB;
	assert_int_equal(partition_write(dev, &table, &err), -1);
	assert_non_null(strstr(err.text, "overlap"));
	mbr_example(&table, parts, GIB);
	parts[1].bootable = true;
	assert_int_equal(partition_write(dev, &table, &err), -1);
	dev_close(dev, NULL);
}

/* Every kind of table leaves a boot loader's bytes. */
static void test_boot_code_stays(void **state)
{
	static const enum partition_table_kind kinds[] = {
		PARTITION_TABLE_GPT, PARTITION_TABLE_MBR, PARTITION_TABLE_HYBRID};
	struct error err = ERROR_INIT;
	uint8_t code[440], back[440];

	(void)state;
	memset(code, 0xc5, sizeof(code));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct dev *dev = disk_new(GIB, NULL, &err);
		struct partition parts[3];
		struct partition_table table;

		if (kinds[i] == PARTITION_TABLE_MBR)
			mbr_example(&table, parts, GIB);
		else
			example(&table, parts, GIB);
		table.kind = kinds[i];
		parts[2].bootable = true;
		assert_int_equal(dev_pwrite(dev, code, sizeof(code), 0, &err), 0);
		assert_int_equal(partition_write(dev, &table, &err), 0);
		assert_int_equal(dev_pread(dev, back, sizeof(back), 0, &err), 0);
		assert_memory_equal(code, back, sizeof(code));
		dev_close(dev, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign_tools_accept_what_we_write),
		cmocka_unit_test(test_written_is_read_back),
		cmocka_unit_test(test_only_the_tables_become_data_and_always_the_same),
		cmocka_unit_test(test_layout_sizes),
		cmocka_unit_test(test_bad_requests_are_refused),
		cmocka_unit_test(test_type_names),
		cmocka_unit_test(test_reads_an_mbr_with_logical_partitions),
		cmocka_unit_test(test_a_damaged_gpt_is_an_error),
		cmocka_unit_test(test_a_gpt_without_protection),
		cmocka_unit_test(test_an_image_made_larger_still_reads),
		cmocka_unit_test(test_no_table),
		cmocka_unit_test(test_foreign_tools_accept_an_mbr),
		cmocka_unit_test(test_an_mbr_is_the_same_as_sfdisks),
		cmocka_unit_test(test_a_hybrid_table),
		cmocka_unit_test(test_what_an_mbr_cannot_hold),
		cmocka_unit_test(test_boot_code_stays),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
