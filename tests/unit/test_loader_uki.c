/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unified kernel images, seen by binutils and sbverify: all sections with their contents, the root
 * hash put in later, signatures. tests/integration boots one.
 */
#include "builder/loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/num.h"
#include "formats/pe.h"
#include "tests/lib/efitree.h"

#define NEWEST "EFI/Linux/debian-6.1.0-10-test.efi"

/* What objcopy takes out of a section; it begins with `want` and has zeros behind it. */
static void section_is(
	const struct efitree *e, const char *file, const char *name, const void *want, size_t len)
{
	struct error err = ERROR_INIT;
	CLEANUP_FREE char *option = buf_strf(&err, "--only-section=%s", name);
	CLEANUP_FREE char *got = file_join(e->dir, "section", &err);
	const char *const argv[] = {"objcopy", "-O", "binary", option, file, got, NULL};
	CLEANUP_BUF struct buf b = BUF_INIT(0);

	assert_int_equal(efitree_run(NULL, argv), 0);
	assert_int_equal(file_read(got, &b, &err), 0);
	assert_true(b.len >= len);
	assert_memory_equal(b.data, want, len);
	for (size_t i = len; i < b.len; i++)
		assert_int_equal(b.data[i], 0);
}

/* Nothing of the stub but its headers has changed; symbols behind its sections may be gone. */
static void stub_is_whole(const char *file, const char *stub)
{
	const char *coff = stub + num_get_le32(stub + 60) + 4;
	const char *table = coff + 20 + num_get_le16(coff + 16);
	CLEANUP_FREE char *got = NULL;
	size_t len;

	got = efitree_host(file, &len);
	for (unsigned i = 0; i < num_get_le16(coff + 2); i++, table += 40) {
		uint32_t raw_len = num_get_le32(table + 16), off = num_get_le32(table + 20);

		assert_true(off + raw_len <= len);
		assert_memory_equal(got + off, stub + off, raw_len);
	}
}

static void check_sections(const struct efitree *e, const char *file, const char *cmdline)
{
	CLEANUP_FREE char *kernel = NULL;
	CLEANUP_FREE char *initrd = NULL;
	CLEANUP_FREE char *text = NULL;
	const char *const headers[] = {"objdump", "-h", file, NULL};
	static const char *const names[] = {".text", ".sbat", ".osrel", ".cmdline", ".uname",
		".initrd", ".linux"};
	CLEANUP_BUF struct buf listing = BUF_INIT(0);
	const char *at;
	size_t len;

	assert_int_equal(efitree_run(&listing, headers), 0);
	at = buf_str(&listing);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		at = strstr(at, names[i]);
		assert_non_null(at);
	}
	section_is(e, file, ".osrel", "ID=debian\n", 10);
	section_is(e, file, ".cmdline", cmdline, strlen(cmdline));
	section_is(e, file, ".uname", "6.1.0-10-test", 13);
	kernel = efitree_read(e->tree, "/boot/vmlinuz-6.1.0-10-test", &len);
	section_is(e, file, ".linux", kernel, len);
	initrd = efitree_read(e->tree, "/boot/initrd.img-6.1.0-10-test", &len);
	section_is(e, file, ".initrd", initrd, len);
	text = efitree_host(EFITREE_STUB, &len);
	stub_is_whole(file, text);
}

static void check_install(bool own_esp)
{
	EFITREE_SETUP(e, own_esp)
	CLEANUP_FREE char *newest = NULL;
	CLEANUP_FREE char *older = NULL;
	CLEANUP_FREE char *file = NULL;
	CLEANUP_FREE char *first = NULL;
	CLEANUP_FREE char *second = NULL;
	struct error err = ERROR_INIT;
	size_t first_len, second_len;

	newest = buf_strf(&err, "%s/" NEWEST, e.in.esp);
	older = buf_strf(&err, "%s/EFI/Linux/debian-6.1.0-9-test.efi", e.in.esp);
	file = buf_strf(&err, "%s/EFI/BOOT/BOOTX64.EFI", e.in.esp);
	efitree_install(&e, &loader_uki);
	assert_true(efitree_has(e.esp, older));
	first = efitree_read(e.esp, newest, &first_len);
	second = efitree_read(e.esp, file, &second_len);
	assert_int_equal(first_len, second_len);
	assert_memory_equal(first, second, first_len);
	free(file);
	file = efitree_extract(&e, e.esp, newest, "uki.efi");
	if (efitree_program("objdump"))
		check_sections(&e, file, "root=UUID=1-2 ro console=ttyS0");
	efitree_release(&e);
}

static void test_install(void **state)
{
	(void)state;
	check_install(false);
}

static void test_install_own_esp(void **state)
{
	(void)state;
	check_install(true);
}

/* By reference: neither kernel nor initrd are in the spool a second time. */
static void test_no_copies(void **state)
{
	EFITREE_SETUP(e, false)
	struct error err = ERROR_INIT;
	uint64_t before = spool_size(tree_spool(e.tree, &err));

	(void)state;
	efitree_install(&e, &loader_uki);
	assert_true(spool_size(tree_spool(e.tree, &err)) - before < (300 << 10));
	efitree_release(&e);
}

static bool verified(const char *file, const char *certificate)
{
	const char *const argv[] = {"sbverify", "--cert", certificate, file, NULL};

	return efitree_run(NULL, argv) == 0;
}

static void sign_with(struct efitree *e, const char **key, const char **crt, struct error *err)
{
	*key = buf_strf(err, "%s/a.key", e->dir);
	*crt = buf_strf(err, "%s/a.crt", e->dir);
	e->in.sign_key = *key;
	e->in.sign_certificate = *crt;
}

static void free_text(const char *text)
{
	union {
		const char *in;
		char *out;
	} u = {text};

	free(u.out);
}

static void test_roothash(void **state)
{
	EFITREE_SETUP(e, false)
	struct error err = ERROR_INIT;
	const char *key, *crt;
	CLEANUP_FREE char *before = NULL;
	CLEANUP_FREE char *after = NULL;
	CLEANUP_FREE char *file = NULL;
	size_t len, len_after, changed = 0;
	bool with_key = efitree_key(&e, "a");

	(void)state;
	if (with_key)
		sign_with(&e, &key, &crt, &err);
	e.in.verity = true;
	e.in.root = "roothash=" EFITREE_ZEROS;
	efitree_install(&e, &loader_uki);
	before = efitree_read(e.tree, "/boot/efi/EFI/BOOT/BOOTX64.EFI", &len);
	assert_int_equal(loader_uki.set_roothash(&e.in, EFITREE_HEX, &err), 0);
	after = efitree_read(e.tree, "/boot/efi/EFI/BOOT/BOOTX64.EFI", &len_after);
	assert_int_equal(len, len_after);
	for (size_t i = 0; i < len; i++)
		changed += before[i] != after[i];
	assert_true(changed >= 60 && changed < 4096);
	file = efitree_extract(&e, e.tree, "/boot/efi/" NEWEST, "uki.efi");
	if (efitree_program("objdump"))
		check_sections(&e, file, "roothash=" EFITREE_HEX " console=ttyS0");
	if (with_key && efitree_program("sbverify"))
		assert_true(verified(file, crt));
	/* Once more is no harm. */
	assert_int_equal(loader_uki.set_roothash(&e.in, EFITREE_HEX, &err), 0);
	if (with_key) {
		free_text(key);
		free_text(crt);
	}
	efitree_release(&e);
}

static void test_signed(void **state)
{
	EFITREE_SETUP(e, false)
	struct error err = ERROR_INIT;
	const char *key, *crt;
	CLEANUP_FREE char *other = NULL;
	CLEANUP_FREE char *file = NULL;
	CLEANUP_FREE char *first = NULL;
	CLEANUP_FREE char *second = NULL;
	size_t len, len_2;

	(void)state;
	if (!efitree_key(&e, "a") || !efitree_key(&e, "b") || !efitree_program("sbverify")) {
		print_message("needs openssl and sbsigntool\n");
		efitree_release(&e);
		skip();
	}
	sign_with(&e, &key, &crt, &err);
	other = buf_strf(&err, "%s/b.crt", e.dir);
	efitree_install(&e, &loader_uki);
	first = efitree_read(e.tree, "/boot/efi/" NEWEST, &len);
	file = efitree_extract(&e, e.tree, "/boot/efi/EFI/BOOT/BOOTX64.EFI", "uki.efi");
	assert_true(verified(file, crt));
	assert_false(verified(file, other));
	/* The same bytes again, and one byte of the kernel changed is seen. */
	efitree_install(&e, &loader_uki);
	second = efitree_read(e.tree, "/boot/efi/" NEWEST, &len_2);
	assert_int_equal(len, len_2);
	assert_memory_equal(first, second, len);
	second[len - 5000] ^= 1;
	assert_int_equal(file_write_atomic(file, second, len, 0600, false, &err), 0);
	assert_false(verified(file, crt));
	free_text(key);
	free_text(crt);
	efitree_release(&e);
}

static void refused(const struct efitree *e, enum loader_firmware fw, const char *why)
{
	struct error err = ERROR_INIT;

	assert_int_equal(loader_uki.check(&e->in, fw, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	if (!strstr(err.text, why))
		fail_msg("'%s' has no '%s'", err.text, why);
}

static void test_refused(void **state)
{
	EFITREE_SETUP(e, false)
	size_t len;
	CLEANUP_FREE char *kernel = efitree_read(e.tree, EFITREE_BOOT, &len);

	(void)state;
	refused(&e, LOADER_BIOS, "UEFI only");
	e.in.esp = NULL;
	refused(&e, LOADER_UEFI, "EFI system partition");
	e.in.esp = "/boot/efi";
	efitree_write(e.tree, "/boot/vmlinuz-6.1.0-9-test", "\x1f\x8b\x08 zipped", 10);
	refused(&e, LOADER_UEFI, "gzip");
	efitree_write(e.tree, "/boot/vmlinuz-6.1.0-9-test", "MZ", 2);
	refused(&e, LOADER_UEFI, "vmlinuz-6.1.0-9-test' is no sound EFI binary");
	num_put_le16(kernel + num_get_le32(kernel + 60) + 4, PE_MACHINE_ARM64);
	efitree_write(e.tree, "/boot/vmlinuz-6.1.0-9-test", kernel, len);
	refused(&e, LOADER_UEFI, "for arm64, not for x86_64");
	e.in.architecture = "arm64";
	refused(&e, LOADER_UEFI, "for x86_64, not for arm64");
	efitree_release(&e);
}

static void test_refused_keys(void **state)
{
	EFITREE_SETUP(e, false)
	struct error err = ERROR_INIT;
	const char *key, *crt;
	CLEANUP_FREE char *other = NULL;
	CLEANUP_FREE char *locked = NULL;

	(void)state;
	if (!efitree_key(&e, "a") || !efitree_key(&e, "b")) {
		efitree_release(&e);
		skip();
	}
	sign_with(&e, &key, &crt, &err);
	other = buf_strf(&err, "%s/b.crt", e.dir);
	locked = buf_strf(&err, "%s/locked.key", e.dir);
	const char *const lock[] = {"openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x",
		"-out", locked, NULL};
	const char *const ec[] = {"openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout",
		"-out", locked, NULL};
	e.in.sign_certificate = other;
	refused(&e, LOADER_UEFI, "is not that of the key");
	e.in.sign_certificate = key;
	refused(&e, LOADER_UEFI, "no certificate in PEM");
	e.in.sign_certificate = NULL;
	refused(&e, LOADER_UEFI, "both a key and its certificate");
	e.in.sign_certificate = crt;
	e.in.sign_key = crt;
	refused(&e, LOADER_UEFI, "no private key in PEM");
	e.in.sign_key = locked;
	assert_int_equal(loader_uki.check(&e.in, LOADER_UEFI, &err), -1);
	assert_non_null(strstr(err.text, "locked.key"));
	assert_int_equal(efitree_run(NULL, lock), 0);
	refused(&e, LOADER_UEFI, "encrypted");
	assert_int_equal(efitree_run(NULL, ec), 0);
	refused(&e, LOADER_UEFI, "no RSA key");
	free_text(key);
	free_text(crt);
	efitree_release(&e);
}

/* FAT takes EFI/Boot and EFI/BOOT for one: what is there keeps its spelling, and is replaced. */
static void test_other_case(void **state)
{
	EFITREE_SETUP(e, false)
	size_t len;

	(void)state;
	efitree_write(e.tree, "/boot/efi/EFI/Boot/bootx64.efi", "old", 3);
	efitree_write(e.tree, "/boot/efi/EFI/linux/keep", "x", 1);
	efitree_install(&e, &loader_uki);
	assert_false(efitree_has(e.tree, "/boot/efi/EFI/BOOT"));
	free(efitree_read(e.tree, "/boot/efi/EFI/Boot/bootx64.efi", &len));
	assert_true(len > 3);
	assert_true(efitree_has(e.tree, "/boot/efi/EFI/linux/debian-6.1.0-10-test.efi"));
	assert_false(efitree_has(e.tree, "/boot/efi/EFI/Linux"));
	efitree_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_case),
		cmocka_unit_test(test_install),
		cmocka_unit_test(test_install_own_esp),
		cmocka_unit_test(test_no_copies),
		cmocka_unit_test(test_roothash),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
