/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot loader grub: what goes into the tree, to the ESP and onto the disk. GRUB's files are this
 * machine's (packages grub-pc-bin, grub-efi-amd64-bin); grub-script-check and sh are asked whether
 * the texts are theirs.
 */
#include "builder/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/grub_cfg.h"
#include "fs/partition.h"
#include "fs/tree_dir.h"
#include "fs/tree_edit.h"
#include "tests/lib/tmpdir.h"
#include "tests/lib/treedump.h"

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

static char v2[] = "6.2.0-1-cloud", v1[] = "6.1.0-9-cloud", image2[] = "/boot/vmlinuz-6.2.0-1-cloud",
	    image1[] = "/usr/lib/modules/6.1.0-9-cloud/vmlinuz",
	    initrd2[] = "/boot/initrd.img-6.2.0-1-cloud";
static struct kernel kernel_items[] = {{v2, image2, initrd2}, {v1, image1, NULL}};
static const struct kernels kernels = {kernel_items, 2};

static void need(const char *path, const char *package)
{
	if (access(path, R_OK) != 0) {
		print_message("skipped: package %s is not installed\n", package);
		skip();
	}
}

static void write_text(struct tree *t, const char *path, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(tree_edit_write(t, path, text, strlen(text), 0644,
				 (struct tree_edit_owner){0, 0}, 1, &err),
		0);
}

/* As much of a bzImage as GRUB looks at, and of an Image of arm64; it begins with the text. */
static void write_kernel(struct tree *t, const char *path, const char *text)
{
	struct error err = ERROR_INIT;
	char head[0x240] = {0};

	memcpy(head, text, strlen(text));
	memcpy(head + 0x38, "ARM\x64", 4);
	memcpy(head + 0x1fe, "\x55\xaa", 2);
	memcpy(head + 0x202, "HdrS", 4);
	assert_int_equal(tree_edit_write(t, path, head, sizeof(head), 0644,
				 (struct tree_edit_owner){0, 0}, 1, &err),
		0);
}

static struct tree *new_tree(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	write_kernel(t, image2, "kernel 2");
	write_kernel(t, image1, "kernel 1");
	write_text(t, initrd2, "initrd");
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	return t;
}

static struct loader_in new_in(struct tree *t, struct tree *esp)
{
	return (struct loader_in){.tree = t, .esp_tree = esp ? esp : t, .esp = esp ? "" : "/boot/efi",
		.architecture = "x86_64", .os_id = "debian", .os_name = "Debian's own",
		.root = "root=UUID=" UUID " ro", .cmdline = "console=tty0 console=ttyS0,115200n8",
		.boot_uuid = UUID, .boot_dir = "/boot", .kernels = &kernels, .timeout = 3,
		.epoch = 1000000000};
}

/* The text of a file, or NULL. */
static char *text_of(struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;
	struct tree_attr a;
	tree_node n;
	char *text;

	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	assert_int_equal(tree_lookup(t, path, true, &n, &err), 0);
	if (n == TREE_NONE)
		return NULL;
	tree_get(t, n, &a);
	text = calloc(1, a.size + 1);
	assert_non_null(text);
	assert_int_equal(tree_pread(t, n, text, a.size, 0, &err), 0);
	return text;
}

static void assert_has(struct tree *t, const char *path, const char *part)
{
	CLEANUP_FREE char *text = text_of(t, path);

	if (!text)
		fail_msg("'%s' is missing", path);
	if (!strstr(text, part))
		fail_msg("'%s' lacks '%s':\n%s", path, part, text);
}

static bool is_there(struct tree *t, const char *path)
{
	CLEANUP_FREE char *text = text_of(t, path);

	return text != NULL;
}

static void must_install(const struct loader_in *in, struct loader_out *out)
{
	struct error err = ERROR_INIT;

	if (loader_grub.install(in, out, &err) < 0)
		fail_msg("%s", err.text);
}

/* Runs a shell command with %s replaced by a file that has this text. */
static int with_file(const char *fmt, const char *text)
{
	CLEANUP_TMPDIR char *dir = tmpdir_new();
	CLEANUP_FREE char *path = NULL, *command = NULL;
	const char *mark = strstr(fmt, "%s");
	struct error err = ERROR_INIT;

	assert_non_null(dir);
	path = buf_strf(&err, "%s/text", dir);
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, false, &err), 0);
	command = buf_strf(&err, "%.*s%s%s", (int)(mark - fmt), fmt, path, mark + 2);
	return system(command);
}

static void test_the_menu(void **state)
{
	static const char line[] = "\tlinux /vmlinuz-6.2.0-1-cloud root=UUID=" UUID
				    " ro console=ttyS1 ";
	struct loader_in in = new_in(NULL, NULL);
	CLEANUP_BUF struct buf menu = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	in.boot_dir = "";
	in.cmdline = "console=ttyS1 dyndbg=\"file x +p\" a=$b;c";
	assert_int_equal(grub_cfg_menu(&in, &menu, &err), 0);
	assert_non_null(strstr(buf_str(&menu), "serial --unit=1 --speed=9600\n"));
	assert_non_null(strstr(buf_str(&menu), "'dyndbg=file x +p' 'a=$b;c'\n"));
	assert_memory_equal(strstr(buf_str(&menu), "\tlinux "), line, strlen(line));
	assert_non_null(strstr(buf_str(&menu), "menuentry 'Debian'\\''s own, Linux 6.2.0-1-cloud' {"));
	assert_non_null(strstr(buf_str(&menu), "\tinitrd /initrd.img-6.2.0-1-cloud\n"));
	assert_true(strstr(buf_str(&menu), "6.2.0-1") < strstr(buf_str(&menu), "6.1.0-9"));
	if (access("/usr/bin/grub-script-check", X_OK) == 0)
		assert_int_equal(with_file("grub-script-check %s", buf_str(&menu)), 0);
}

static void test_bad_command_lines_are_refused(void **state)
{
	static const char *const bad[] = {"a=\"b", "a='b'", "a=b\\c", "a=b\nc"};
	struct loader_in in = new_in(NULL, NULL);
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		in.cmdline = bad[i];
		assert_int_equal(grub_cfg_check(in.cmdline, &err), -1);
		assert_int_equal(err.kind, ERROR_USAGE);
		assert_non_null(strstr(err.text, "command line"));
	}
	in.cmdline = "  a=\"b c\"  d ";
	assert_int_equal(grub_cfg_check(in.cmdline, &err), 0);
}

/* What update-grub in the instance reads means the same to sh as to us. */
static void test_the_settings_are_shell(void **state)
{
	struct loader_in in = new_in(NULL, NULL);
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	in.cmdline = "console=ttyS0,115200n8 x=\"a b\"";
	in.bios = true;
	assert_int_equal(grub_cfg_defaults(&in, &text, &err), 0);
	assert_int_equal(with_file(". %s; test \"$GRUB_CMDLINE_LINUX\" = \"console=ttyS0,115200n8 'x=a b'\" "
				   "&& test \"$GRUB_TIMEOUT\" = 3 && test \"$GRUB_TERMINAL\" = 'console serial' "
				   "&& test \"$GRUB_SERIAL_COMMAND\" = 'serial --unit=0 --speed=115200'",
				 buf_str(&text)),
		0);
}

static void test_bios(void **state)
{
	struct tree *t = new_tree();
	struct loader_in in = new_in(t, NULL);
	struct loader_out out = {0};
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(64 * MIB, NULL, &err);
	struct partition part = {.off = MIB, .len = 4 * MIB, .mbr_type = 0x83, .name = "root"};
	struct partition_table table = {.kind = PARTITION_TABLE_MBR, .parts = &part, .nr = 1};
	uint8_t sector[512], core[512];

	(void)state;
	need("/usr/lib/grub/i386-pc/kernel.img", "grub-pc-bin");
	in.bios = true;
	assert_int_equal(loader_grub.check(&in, LOADER_BIOS, &err), 0);
	must_install(&in, &out);
	assert_true(out.core_len > 64 * KIB && out.core_len < MIB - 512 && out.core_len % 512 == 0);
	assert_has(t, "/boot/grub/grub.cfg", "linux /boot/vmlinuz-6.2.0-1-cloud ");
	assert_has(t, "/boot/grub/grub.cfg", "linux /usr/lib/modules/6.1.0-9-cloud/vmlinuz ");
	assert_has(t, "/etc/default/grub.d/50_amiwright.cfg", "GRUB_CMDLINE_LINUX='console=tty0 ");
	assert_true(is_there(t, "/boot/grub/i386-pc/normal.mod"));
	assert_true(is_there(t, "/boot/grub/i386-pc/command.lst"));
	assert_true(is_there(t, "/boot/grub/i386-pc/core.img"));
	assert_has(t, "/boot/grub/grubenv", "# GRUB Environment Block\n");
	/* Either may be written first; both stay. */
	for (int i = 0; i < 2; i++) {
		if (i == 1)
			assert_int_equal(partition_write(dev, &table, &err), 0);
		assert_int_equal(loader_grub_write(&out, dev, 512, MIB - 512, &err), 0);
		if (i == 0)
			assert_int_equal(partition_write(dev, &table, &err), 0);
		assert_int_equal(dev_pread(dev, sector, sizeof(sector), 0, &err), 0);
		assert_int_equal(num_get_le16(sector + 510), 0xaa55);
		assert_int_equal(sector[446 + 4], 0x83);
		assert_true(num_get_le64(sector + 0x5c) == 1);
		assert_int_equal(sector[0], 0xeb);
	}
	assert_int_equal(dev_pread(dev, core, sizeof(core), 512, &err), 0);
	assert_true(num_get_le64(core + 500) == 2);
	assert_int_equal(loader_grub_write(&out, dev, 512, out.core_len - 1, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	loader_out_release(&out);
	dev_close(dev, NULL);
	tree_free(t);
}

static void test_own_boot_file_system(void **state)
{
	struct tree *t = new_tree();
	struct loader_in in = new_in(t, NULL);
	struct loader_out out = {0};

	(void)state;
	need("/usr/lib/grub/i386-pc/kernel.img", "grub-pc-bin");
	in.bios = true;
	in.boot_dir = "";
	must_install(&in, &out);
	assert_has(t, "/boot/grub/grub.cfg", "linux /vmlinuz-6.2.0-1-cloud ");
	assert_has(t, "/boot/grub/grub.cfg", "linux /vmlinuz-6.1.0-9-cloud ");
	assert_has(t, "/boot/vmlinuz-6.1.0-9-cloud", "kernel 1");
	loader_out_release(&out);
	tree_free(t);
}

/* A program by its looks. */
static void add_program(struct tree *t, const char *path, const char *what)
{
	CLEANUP_FREE char *text = buf_strf(NULL, "MZ%-70s", what);

	write_text(t, path, text);
}

static void test_uefi_signed(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	struct tree *esp = tree_new(NULL, &err);
	struct loader_in in = new_in(t, esp);
	struct loader_out out = {0};

	(void)state;
	add_program(t, "/usr/lib/shim/shimx64.efi.signed.latest", "shim");
	add_program(t, "/usr/lib/shim/mmx64.efi.signed", "manager");
	add_program(t, "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "grub");
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	in.uefi = true;
	assert_int_equal(loader_grub.check(&in, LOADER_UEFI, &err), 0);
	must_install(&in, &out);
	assert_has(esp, "/EFI/BOOT/BOOTX64.EFI", "MZshim");
	assert_has(esp, "/EFI/BOOT/grubx64.efi", "MZgrub");
	assert_has(esp, "/EFI/BOOT/mmx64.efi", "MZmanager");
	assert_has(esp, "/EFI/debian/shimx64.efi", "MZshim");
	assert_has(esp, "/EFI/debian/grub.cfg",
		"search.fs_uuid " UUID " root\nset prefix=($root)'/boot/grub'\n"
		"configfile $prefix/grub.cfg\n");
	assert_true(is_there(esp, "/EFI/BOOT/grub.cfg"));
	assert_null(out.core);
	tree_free(esp);
	tree_free(t);
}

/* Fedora's way: its folder on the ESP stays; a folder that differs in case only is the same one. */
static void test_uefi_on_the_esp(void **state)
{
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	struct loader_in in = new_in(t, NULL);
	struct loader_out out = {0};

	(void)state;
	add_program(t, "/boot/efi/EFI/Boot/bootx64.efi", "their shim");
	add_program(t, "/boot/efi/EFI/fedora/shimx64.efi", "shim");
	add_program(t, "/boot/efi/EFI/fedora/grubx64.efi", "grub");
	write_text(t, "/usr/sbin/grub2-mkconfig", "no folder");
	write_text(t, "/etc/default/grub", "GRUB_TIMEOUT=9");
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	in.uefi = true;
	must_install(&in, &out);
	must_install(&in, &out);
	assert_has(t, "/boot/efi/EFI/Boot/bootx64.efi", "MZtheir shim");
	assert_has(t, "/boot/efi/EFI/Boot/grubx64.efi", "MZgrub");
	assert_false(is_there(t, "/boot/efi/EFI/BOOT"));
	assert_has(t, "/boot/efi/EFI/fedora/grub.cfg", "($root)'/boot/grub2'");
	assert_true(is_there(t, "/boot/grub2/grub.cfg"));
	assert_false(is_there(t, "/boot/efi/EFI/debian/grub.cfg"));
	assert_has(t, "/etc/default/grub", "GRUB_TIMEOUT=9\n# amiwright begins\n");
	assert_has(t, "/etc/default/grub", "GRUB_TIMEOUT=3\n");
	assert_false(is_there(t, "/etc/default/grub.d/50_amiwright.cfg"));
	tree_free(t);
}

static void test_uefi_made_of_modules(void **state)
{
	static const char platform[] = "/usr/lib/grub/x86_64-efi";
	struct tree *t = new_tree();
	struct error err = ERROR_INIT;
	struct tree *esp = tree_new(NULL, &err);
	struct loader_in in = new_in(t, esp);
	struct loader_out out = {0};
	tree_node n;

	(void)state;
	need("/usr/lib/grub/x86_64-efi/kernel.img", "grub-efi-amd64-bin");
	need("/usr/bin/grub-mkimage", "grub-common");
	assert_int_equal(tree_edit_mkdir(t, platform, 0755, (struct tree_edit_owner){0, 0}, 1, &err), 0);
	assert_int_equal(tree_lookup(t, platform, true, &n, &err), 0);
	assert_int_equal(tree_dir_add(t, n, platform, NULL, &err), 0);
	assert_int_equal(tree_edit_remove(t, "/usr/lib/grub/x86_64-efi/monolithic", true, &err), 0);
	assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
	in.uefi = true;
	log_set_level(LOG_LEVEL_WARN);
	must_install(&in, &out);
	assert_has(esp, "/EFI/BOOT/BOOTX64.EFI", "MZ");
	assert_true(is_there(t, "/boot/grub/x86_64-efi/normal.mod"));
	tree_free(esp);
	tree_free(t);
}

static void test_what_cannot_be_is_said(void **state)
{
	struct tree *t = new_tree();
	struct loader_in in = new_in(t, NULL);
	struct error err = ERROR_INIT;

	(void)state;
	in.esp = NULL;
	assert_int_equal(loader_grub.check(&in, LOADER_UEFI, &err), -1);
	assert_non_null(strstr(err.text, "ESP"));
	in.esp = "/boot/efi";
	in.architecture = "arm64";
	assert_int_equal(loader_grub.check(&in, LOADER_BIOS, &err), -1);
	assert_non_null(strstr(err.text, "arm64"));
	if (access("/usr/lib/grub/arm64-efi", F_OK) != 0) {
		assert_int_equal(loader_grub.check(&in, LOADER_UEFI, &err), -1);
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_non_null(strstr(err.text, "grub-efi-arm64-signed"));
	}
	in.architecture = "x86_64";
	write_text(t, image2, "garbage");
	assert_int_equal(loader_grub.check(&in, LOADER_BIOS, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, image2));
	in.boot_uuid = NULL;
	assert_int_equal(loader_grub.check(&in, LOADER_UEFI, &err), -1);
	assert_non_null(strstr(err.text, "uuid"));
	tree_free(t);
}

/* The message has the file's whole path, and says whose it is. */
static void test_a_bad_monolithic_image(void **state)
{
	struct tree *t = new_tree();
	struct loader_in in = new_in(t, NULL);
	struct error err = ERROR_INIT;

	(void)state;
	write_text(t, "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", "garbage");
	assert_int_equal(loader_grub.check(&in, LOADER_UEFI, &err), -1);
	assert_non_null(strstr(err.text, "monolithic/grubx64.efi' in the tree is no EFI program"));
	tree_free(t);
}

static void test_twice_is_the_same(void **state)
{
	struct buf dumps[2] = {BUF_INIT(0), BUF_INIT(0)};
	struct loader_out out[2] = {{0}, {0}};
	struct error err = ERROR_INIT;

	(void)state;
	need("/usr/lib/grub/i386-pc/kernel.img", "grub-pc-bin");
	for (int i = 0; i < 2; i++) {
		struct tree *t = new_tree();
		struct loader_in in = new_in(t, NULL);

		in.bios = true;
		must_install(&in, &out[i]);
		assert_int_equal(tree_finish(t, INT64_MAX, &err), 0);
		assert_int_equal(treedump(t, &dumps[i], &err), 0);
		tree_free(t);
	}
	assert_string_equal(buf_str(&dumps[0]), buf_str(&dumps[1]));
	assert_int_equal(out[0].core_len, out[1].core_len);
	assert_memory_equal(out[0].core, out[1].core, out[0].core_len);
	for (int i = 0; i < 2; i++)
		loader_out_release(&out[i]);
	buf_release(&dumps[0]);
	buf_release(&dumps[1]);
}

static int quiet(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_menu),
		cmocka_unit_test(test_bad_command_lines_are_refused),
		cmocka_unit_test(test_the_settings_are_shell),
		cmocka_unit_test(test_bios),
		cmocka_unit_test(test_own_boot_file_system),
		cmocka_unit_test(test_uefi_signed),
		cmocka_unit_test(test_uefi_on_the_esp),
		cmocka_unit_test(test_uefi_made_of_modules),
		cmocka_unit_test(test_what_cannot_be_is_said),
		cmocka_unit_test(test_a_bad_monolithic_image),
		cmocka_unit_test(test_twice_is_the_same),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
