/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd-boot: the files that the Boot Loader Specification asks for, on the ESP and on XBOOTLDR,
 * what kernel-install goes by later, the root hash, signatures.
 */
#include "builder/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/lib/efitree.h"

static void text_is(const struct tree *t, const char *path, const char *want)
{
	CLEANUP_FREE char *got = NULL;

	if (!efitree_has(t, path))
		fail_msg("no '%s'", path);
	got = efitree_read(t, path, NULL);
	assert_string_equal(got, want);
}

static void same(const struct tree *a, const char *path_a, const struct tree *b, const char *path_b)
{
	size_t len_a, len_b;
	CLEANUP_FREE char *first = efitree_read(a, path_a, &len_a);
	CLEANUP_FREE char *second = efitree_read(b, path_b, &len_b);

	assert_int_equal(len_a, len_b);
	assert_memory_equal(first, second, len_a);
}

static void test_install(void **state)
{
	EFITREE_SETUP(e, false)

	(void)state;
	efitree_install(&e, &loader_systemd_boot);
	same(e.tree, EFITREE_BOOT, e.tree, "/boot/efi/EFI/BOOT/BOOTX64.EFI");
	same(e.tree, EFITREE_BOOT, e.tree, "/boot/efi/EFI/systemd/systemd-bootx64.efi");
	same(e.tree, "/boot/vmlinuz-6.1.0-9-test", e.tree,
		"/boot/efi/debian/6.1.0-9-test/linux");
	same(e.tree, "/boot/initrd.img-6.1.0-9-test", e.tree,
		"/boot/efi/debian/6.1.0-9-test/initrd.img-6.1.0-9-test");
	text_is(e.tree, "/boot/efi/loader/loader.conf",
		"timeout 3\nconsole-mode keep\neditor no\ndefault debian-*\n");
	text_is(e.tree, "/boot/efi/loader/entries.srel", "type1\n");
	text_is(e.tree, "/boot/efi/loader/entries/debian-6.1.0-10-test.conf",
		"title      Debian GNU/Linux 12\n"
		"version    6.1.0-10-test\n"
		"sort-key   debian\n"
		"options    root=UUID=1-2 ro console=ttyS0\n"
		"linux      /debian/6.1.0-10-test/linux\n"
		"initrd     /debian/6.1.0-10-test/initrd.img-6.1.0-10-test\n");
	assert_true(efitree_has(e.tree, "/boot/efi/loader/entries/debian-6.1.0-9-test.conf"));
	text_is(e.tree, "/etc/kernel/entry-token", "debian\n");
	text_is(e.tree, "/etc/kernel/install.conf", "layout=bls\nBOOT_ROOT=/boot/efi\n");
	text_is(e.tree, "/etc/kernel/cmdline", "root=UUID=1-2 ro console=ttyS0\n");
	efitree_release(&e);
}

/* An ESP without mount point has a tree of its own, and nothing in the instance could write to it. */
static void test_own_esp(void **state)
{
	EFITREE_SETUP(e, true)

	(void)state;
	efitree_install(&e, &loader_systemd_boot);
	same(e.tree, EFITREE_BOOT, e.esp, "/EFI/BOOT/BOOTX64.EFI");
	same(e.tree, "/boot/vmlinuz-6.1.0-10-test", e.esp, "/debian/6.1.0-10-test/linux");
	assert_true(efitree_has(e.esp, "/loader/entries/debian-6.1.0-10-test.conf"));
	assert_false(efitree_has(e.tree, "/etc/kernel/install.conf"));
	efitree_release(&e);
}

static void test_xbootldr(void **state)
{
	EFITREE_SETUP(e, false)

	(void)state;
	e.in.xbootldr = "/boot";
	efitree_write(e.tree, "/etc/kernel/entry-token", "ami\n", 4);
	efitree_write(e.tree, "/etc/kernel/cmdline", "mine\n", 5);
	efitree_install(&e, &loader_systemd_boot);
	assert_true(efitree_has(e.tree, "/boot/efi/loader/loader.conf"));
	assert_false(efitree_has(e.tree, "/boot/efi/loader/entries"));
	assert_true(efitree_has(e.tree, "/boot/ami/6.1.0-10-test/linux"));
	assert_true(efitree_has(e.tree, "/boot/loader/entries/ami-6.1.0-10-test.conf"));
	text_is(e.tree, "/etc/kernel/install.conf", "layout=bls\nBOOT_ROOT=/boot\n");
	text_is(e.tree, "/etc/kernel/cmdline", "mine\n");
	efitree_write(e.tree, "/etc/kernel/entry-token", "../x\n", 5);
	struct error err = ERROR_INIT;
	assert_int_equal(loader_systemd_boot.check(&e.in, LOADER_UEFI, &err), -1);
	assert_non_null(strstr(err.text, "entry-token"));
	assert_int_equal(loader_systemd_boot.check(&e.in, LOADER_BIOS, &err), -1);
	assert_non_null(strstr(err.text, "systemd-boot starts on UEFI only"));
	efitree_release(&e);
}

/* kernel-install itself, where this machine has the one of Debian, makes the entry that we make. */
static void test_kernel_install(void **state)
{
	static const char script[] = "/usr/lib/kernel/install.d/90-loaderentry.install";
	EFITREE_SETUP(e, false)
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf made = BUF_INIT(0);
	CLEANUP_FREE char *entry = NULL;
	CLEANUP_FREE char *root = NULL;
	CLEANUP_FREE char *ours = NULL;
	CLEANUP_FREE char *kernel = NULL;
	CLEANUP_FREE char *initrd = NULL;
	CLEANUP_FREE char *command = NULL;
	const char *line;

	(void)state;
	if (access(script, X_OK)) {
		print_message("needs kernel-install\n");
		efitree_release(&e);
		skip();
	}
	efitree_install(&e, &loader_systemd_boot);
	kernel = efitree_extract(&e, e.tree, "/boot/vmlinuz-6.1.0-10-test", "k");
	initrd = efitree_extract(
		&e, e.tree, "/boot/initrd.img-6.1.0-10-test", "initrd.img-6.1.0-10-test");
	free(efitree_extract(&e, e.tree, "/etc/kernel/cmdline", "cmdline"));
	command = buf_strf(&err,
		"mkdir -p %s/boot/debian/6.1.0-10-test && export KERNEL_INSTALL_LAYOUT=bls "
		"KERNEL_INSTALL_MACHINE_ID=x KERNEL_INSTALL_ENTRY_TOKEN=debian KERNEL_INSTALL_VERBOSE=0 "
		"KERNEL_INSTALL_BOOT_ROOT=%s/boot KERNEL_INSTALL_STAGING_AREA=/nonexistent "
		"KERNEL_INSTALL_CONF_ROOT=%s && exec %s add 6.1.0-10-test "
		"%s/boot/debian/6.1.0-10-test %s %s",
		e.dir, e.dir, e.dir, script, e.dir, kernel, initrd);
	const char *const argv[] = {"sh", "-c", command, NULL};
	assert_int_equal(efitree_run(NULL, argv), 0);
	entry = buf_strf(&err, "%s/boot/loader/entries/debian-6.1.0-10-test.conf", e.dir);
	assert_int_equal(file_read(entry, &made, &err), 0);
	ours = efitree_read(e.tree, "/boot/efi/loader/entries/debian-6.1.0-10-test.conf", NULL);
	line = strstr(ours, "options ");
	assert_non_null(line);
	root = buf_strf(&err, "%.*s\n", (int)strcspn(line, "\n"), line);
	assert_non_null(strstr(buf_str(&made), root));
	assert_non_null(strstr(buf_str(&made), "version    6.1.0-10-test\n"));
	assert_non_null(strstr(buf_str(&made), "sort-key   "));
	assert_non_null(strstr(buf_str(&made), "debian/6.1.0-10-test/linux\n"));
	assert_non_null(strstr(buf_str(&made), "debian/6.1.0-10-test/initrd.img-6.1.0-10-test\n"));
	efitree_release(&e);
}

static void test_roothash(void **state)
{
	EFITREE_SETUP(e, false)
	struct error err = ERROR_INIT;

	(void)state;
	e.in.verity = true;
	e.in.root = "roothash=" EFITREE_ZEROS;
	efitree_install(&e, &loader_systemd_boot);
	assert_false(efitree_has(e.tree, "/etc/kernel/install.conf"));
	assert_int_equal(loader_systemd_boot.set_roothash(&e.in, EFITREE_HEX, &err), 0);
	text_is(e.tree, "/boot/efi/loader/entries/debian-6.1.0-9-test.conf",
		"title      Debian GNU/Linux 12\n"
		"version    6.1.0-9-test\n"
		"sort-key   debian\n"
		"options    roothash=" EFITREE_HEX " console=ttyS0\n"
		"linux      /debian/6.1.0-9-test/linux\n"
		"initrd     /debian/6.1.0-9-test/initrd.img-6.1.0-9-test\n");
	efitree_release(&e);
}

static void test_signed(void **state)
{
	static const char *const files[] = {"/boot/efi/EFI/BOOT/BOOTX64.EFI",
		"/boot/efi/EFI/systemd/systemd-bootx64.efi", "/boot/efi/debian/6.1.0-10-test/linux"};
	EFITREE_SETUP(e, false)
	struct error err = ERROR_INIT;
	CLEANUP_FREE char *key = buf_strf(&err, "%s/a.key", e.dir);
	CLEANUP_FREE char *crt = buf_strf(&err, "%s/a.crt", e.dir);

	(void)state;
	if (!efitree_key(&e, "a") || !efitree_program("sbverify")) {
		print_message("needs openssl and sbsigntool\n");
		efitree_release(&e);
		skip();
	}
	e.in.sign_key = key;
	e.in.sign_certificate = crt;
	efitree_install(&e, &loader_systemd_boot);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		CLEANUP_FREE char *file = efitree_extract(&e, e.tree, files[i], "x.efi");
		const char *const verify[] = {"sbverify", "--cert", crt, file, NULL};

		assert_int_equal(efitree_run(NULL, verify), 0);
	}
	/* One more signature, and the first is still good. */
	size_t len;
	CLEANUP_FREE char *data = efitree_read(e.tree, files[2], &len);
	efitree_write(e.tree, "/boot/vmlinuz-6.1.0-10-test", data, len);
	CLEANUP_FREE char *key_b = buf_strf(&err, "%s/b.key", e.dir);
	CLEANUP_FREE char *crt_b = buf_strf(&err, "%s/b.crt", e.dir);
	assert_true(efitree_key(&e, "b"));
	e.in.sign_key = key_b;
	e.in.sign_certificate = crt_b;
	efitree_install(&e, &loader_systemd_boot);
	CLEANUP_FREE char *twice = efitree_extract(&e, e.tree, files[2], "x.efi");
	const char *const first[] = {"sbverify", "--cert", crt, twice, NULL};
	const char *const second[] = {"sbverify", "--cert", crt_b, twice, NULL};
	assert_int_equal(efitree_run(NULL, second), 0);
	assert_int_equal(efitree_run(NULL, first), 0);
	/* What the tree has in /boot is not written through. */
	same(e.tree, "/boot/vmlinuz-6.1.0-9-test", e.tree, EFITREE_BOOT);
	efitree_release(&e);
}

/* FAT takes EFI/Boot and EFI/BOOT for one: what is there keeps its spelling, and is replaced. */
static void test_other_case(void **state)
{
	EFITREE_SETUP(e, false)
	size_t len;

	(void)state;
	efitree_write(e.tree, "/boot/efi/EFI/Boot/bootx64.efi", "old", 3);
	efitree_write(e.tree, "/boot/efi/Loader/keep", "x", 1);
	efitree_install(&e, &loader_systemd_boot);
	assert_false(efitree_has(e.tree, "/boot/efi/EFI/BOOT"));
	free(efitree_read(e.tree, "/boot/efi/EFI/Boot/bootx64.efi", &len));
	assert_true(len > 3);
	assert_true(efitree_has(e.tree, "/boot/efi/Loader/entries/debian-6.1.0-10-test.conf"));
	assert_false(efitree_has(e.tree, "/boot/efi/loader"));
	efitree_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_case),
		cmocka_unit_test(test_install),
		cmocka_unit_test(test_own_esp),
		cmocka_unit_test(test_xbootldr),
		cmocka_unit_test(test_kernel_install),
		cmocka_unit_test(test_roothash),
		cmocka_unit_test(test_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
