/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB's core image for BIOS, against the grub-mkimage and the files of package grub-pc-bin of this
 * machine: what both compress must be the same bytes, and so must all that is not compressed.
 */
#include "formats/grub_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lzma.h>

#include "base/file.h"
#include "base/num.h"
#include "tests/lib/tmpdir.h"

#define HOST "/usr/lib/grub/i386-pc/"

static const char *const modules[] = {
	"biosdisk", "part_gpt", "ext2", "btrfs", "search_fs_uuid", "normal", NULL};
static const char config[] = "search.fs_uuid 01234567-89ab-cdef-0123-456789abcdef root\n";
static const char prefix[] = "(hd0)/boot/grub";

static void need_grub(void)
{
	if (access(HOST "kernel.img", R_OK) != 0 || access("/usr/bin/grub-mkimage", X_OK) != 0) {
		print_message("skipped: packages grub-pc-bin and grub-common are not installed\n");
		skip();
	}
}

/* arg: NULL, or a text "NAME" of a file that is taken as missing. */
static int load_host(void *arg, const char *name, struct buf *out, bool *found, struct error *err)
{
	char path[300];

	*found = !arg || strcmp(arg, name) != 0;
	snprintf(path, sizeof(path), HOST "%s", name);
	*found = *found && access(path, R_OK) == 0;
	return *found ? file_read(path, out, err) : 0;
}

static struct grub_core_in example(void)
{
	return (struct grub_core_in){
		.load = load_host, .modules = modules, .config = config, .prefix = prefix};
}

/* core.img of grub-mkimage. */
static void foreign_core(const char *dir, struct buf *out)
{
	char command[1200], path[300];
	struct error err = ERROR_INIT;
	size_t len;

	snprintf(path, sizeof(path), "%s/load.cfg", dir);
	assert_int_equal(
		file_write_atomic(path, config, sizeof(config) - 1, 0600, false, &err), 0);
	snprintf(command, sizeof(command),
		"grub-mkimage -O i386-pc -d " HOST " -c %s/load.cfg -p '%s' -o %s/core.img", dir,
		prefix, dir);
	for (const char *const *m = modules; *m; m++) {
		len = strlen(command);
		snprintf(command + len, sizeof(command) - len, " %s", *m);
	}
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/core.img", dir);
	assert_int_equal(file_read(path, out, &err), 0);
}

/* Bytes of lzma_decompress.img. */
static size_t stage_size(void)
{
	struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	size_t len;

	assert_int_equal(file_read(HOST "lzma_decompress.img", &b, &err), 0);
	len = b.len;
	buf_release(&b);
	return len;
}

static void unpack(const struct buf *core, struct buf *out)
{
	lzma_options_lzma opts = {.dict_size = 1 << 16, .lc = 3, .lp = 0, .pb = 2};
	lzma_filter filters[] = {
		{.id = LZMA_FILTER_LZMA1, .options = &opts}, {.id = LZMA_VLI_UNKNOWN}};
	const uint8_t *p = (const uint8_t *)core->data + 512;
	uint32_t packed = num_get_le32(p + 8), len = num_get_le32(p + 12);
	struct error err = ERROR_INIT;
	lzma_stream s = LZMA_STREAM_INIT;
	uint8_t *data = buf_extend(out, len, &err);

	assert_non_null(data);
	assert_true(512 + stage_size() + packed <= core->len);
	assert_int_equal(lzma_raw_decoder(&s, filters), LZMA_OK);
	s.next_in = p + stage_size();
	s.avail_in = packed;
	s.next_out = data;
	s.avail_out = len;
	/* GRUB's own stream has no end mark: when it ends, all of it has come. */
	while (s.avail_out > 0)
		assert_in_range(lzma_code(&s, LZMA_RUN), LZMA_OK, LZMA_STREAM_END);
	lzma_end(&s);
}

static void test_the_payload_is_that_of_grub_mkimage(void **state)
{
	struct grub_core_in in = example();
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	CLEANUP_BUF struct buf theirs = BUF_INIT(0), ours = BUF_INIT(0), a = BUF_INIT(0),
		b = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	need_grub();
	foreign_core(dir, &theirs);
	if (grub_core_make(&in, &ours, &err) < 0)
		fail_msg("%s", err.text);
	unpack(&theirs, &a);
	unpack(&ours, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	assert_true(ours.len < theirs.len + theirs.len / 20);
	/* diskboot.img up to its block list, and the decompressor but for both lengths. */
	assert_memory_equal(ours.data, theirs.data, 500);
	assert_memory_equal(ours.data + 512, theirs.data + 512, 8);
	assert_memory_equal(ours.data + 512 + 12, theirs.data + 512 + 12, stage_size() - 12);
	assert_int_equal(num_get_le16(ours.data + 510), num_get_le16(theirs.data + 510));
	assert_int_equal(num_get_le16(theirs.data + 508), (theirs.len + 511) / 512 - 1);
	assert_int_equal(num_get_le16(ours.data + 508), ours.len / 512 - 1);
	assert_int_equal(ours.len % 512, 0);
}

static void test_places_are_filled_in(void **state)
{
	struct grub_core_in in = example();
	CLEANUP_BUF struct buf core = BUF_INIT(0), boot = BUF_INIT(0);
	struct error err = ERROR_INIT;
	uint8_t code[GRUB_BOOT_CODE];

	(void)state;
	need_grub();
	assert_int_equal(grub_core_make(&in, &core, &err), 0);
	grub_core_place((uint8_t *)core.data, core.len, UINT64_C(0x123456789a));
	assert_true(num_get_le64(core.data + 500) == UINT64_C(0x123456789b));
	assert_int_equal(num_get_le16(core.data + 510), 0x820);
	assert_true(num_get_le64(core.data + 488) == 0);
	assert_int_equal(file_read(HOST "boot.img", &boot, &err), 0);
	assert_int_equal(grub_boot_code(&boot, code, &err), 0);
	grub_boot_code_place(code, 2048);
	assert_true(num_get_le64(code + 0x5c) == 2048);
	assert_int_equal(code[0x64], 0xff);
	assert_int_equal(num_get_le16(code + 0x66), 0x9090);
	assert_int_equal((uint8_t)boot.data[0x66], 0xeb);
	buf_truncate(&boot, 511);
	assert_int_equal(grub_boot_code(&boot, code, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
}

static void test_missing_files_are_named(void **state)
{
	static char kernel[] = "kernel.img", module[] = "btrfs.mod", need[] = "fshelp.mod";
	static char *const missing[] = {kernel, module, need};
	static const char *const fewer[] = {"biosdisk", "ext2", NULL}, *const extra[] = {"btrfs", NULL};
	struct grub_core_in in = example();
	CLEANUP_BUF struct buf core = BUF_INIT(0), all = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	need_grub();
	for (size_t i = 0; i < ARRAY_SIZE(missing); i++) {
		in.arg = missing[i];
		assert_int_equal(grub_core_make(&in, &core, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_non_null(strstr(err.text, missing[i]));
	}
	in.modules = fewer;
	in.optional = extra;
	in.arg = NULL;
	assert_int_equal(grub_core_make(&in, &all, &err), 0);
	in.arg = module;
	assert_int_equal(grub_core_make(&in, &core, &err), 0);
	assert_true(core.len < all.len);
}

/* A folder of GRUB's with one file damaged. */
struct damaged {
	const char *name;
	size_t at, cut;
	uint8_t value;
};

static int load_damaged(void *arg, const char *name, struct buf *out, bool *found, struct error *err)
{
	const struct damaged *d = arg;

	if (load_host(NULL, name, out, found, err) < 0)
		return -1;
	if (strcmp(name, d->name) != 0)
		return 0;
	if (d->cut > 0)
		buf_truncate(out, d->cut);
	else
		memset(out->data + d->at, d->value, 4);
	return 0;
}

static void test_damaged_files_are_refused(void **state)
{
	static const struct damaged cases[] = {
		{.name = "kernel.img", .cut = 40}, {.name = "kernel.img", .cut = 1000},
		{.name = "kernel.img", .at = 28, .value = 0xff},
		{.name = "kernel.img", .at = 52 + 4, .value = 0xff},
		{.name = "kernel.img", .at = 52 + 8, .value = 0xff},
		{.name = "kernel.img", .at = 52 + 8, .value = 0},
		{.name = "kernel.img", .at = 52 + 16, .value = 0xff},
		{.name = "kernel.img", .at = 52 + 20, .value = 0xff},
		{.name = "diskboot.img", .cut = 500}, {.name = "lzma_decompress.img", .cut = 10},
		{.name = "ext2.mod", .at = 0, .value = 0},
	};
	struct error err = ERROR_INIT;

	(void)state;
	need_grub();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct grub_core_in in = example();
		struct damaged d = cases[i];
		CLEANUP_BUF struct buf core = BUF_INIT(0);

		in.load = load_damaged;
		in.arg = &d;
		assert_int_equal(grub_core_make(&in, &core, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_non_null(strstr(err.text, d.name));
	}
}

/* Modules that need each other. */
static int load_loop(void *arg, const char *name, struct buf *out, bool *found, struct error *err)
{
	(void)arg;
	*found = true;
	if (strcmp(name, "moddep.lst") == 0)
		return buf_add_str(out, "a: b\nb: a\n", err);
	if (strcmp(name, "kernel.img") == 0)
		return load_host(NULL, name, out, found, err);
	return buf_add_str(out, "\177ELF", err);
}

static void test_needs_without_end_are_refused(void **state)
{
	static const char *const names[] = {"a", NULL};
	struct grub_core_in in = {.load = load_loop, .modules = names};
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	need_grub();
	assert_int_equal(grub_core_payload(&in, &out, &err), -1);
	assert_non_null(strstr(err.text, "moddep.lst"));
}

static void test_the_prefix_of_an_efi_image(void **state)
{
	static const char image[] = "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi";
	CLEANUP_BUF struct buf b = BUF_INIT(0), out = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	if (access(image, R_OK) != 0) {
		print_message("skipped: package grub-efi-amd64-bin is not installed\n");
		skip();
	}
	assert_int_equal(file_read(image, &b, &err), 0);
	assert_int_equal(grub_image_prefix(&b, &out, &err), 0);
	assert_memory_equal(buf_str(&out), "/EFI/", 5);
	buf_clear(&out);
	buf_truncate(&b, b.len / 2);
	assert_int_equal(grub_image_prefix(&b, &out, &err), 0);
	assert_string_equal(buf_str(&out), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_payload_is_that_of_grub_mkimage),
		cmocka_unit_test(test_places_are_filled_in),
		cmocka_unit_test(test_missing_files_are_named),
		cmocka_unit_test(test_damaged_files_are_refused),
		cmocka_unit_test(test_needs_without_end_are_refused),
		cmocka_unit_test(test_the_prefix_of_an_efi_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
