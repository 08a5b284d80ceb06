/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions, tables, labels and boot loaders: what a layout can hold and start. */
#include "builder/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/spectext.h"

#define ROOT_PART "{name: root, type: root, filesystem: ext4, mount: /, size: rest}"
#define ESP_PART "{name: esp, type: esp, filesystem: vfat, mount: /boot/efi, size: 64M}"
#define BIOS_PART "{name: bios, type: bios-boot, size: 1M}"
#define LAYOUT(table, parts)                                                                       \
	HEAD "disks:\n  - {device: /dev/xvda, table: " table ", partitions: [" parts "]}\n"

#define PART(text) LAYOUT("gpt", ROOT_PART ", {name: p, " text "}")

static void test_boot(void **state)
{
	(void)state;
	spectext_accepted(LAYOUT("gpt", BIOS_PART ", " ESP_PART ", " ROOT_PART)
		"boot: {loader: grub, mode: uefi-preferred, cmdline: quiet, timeout: 3}\n");
	spectext_accepted(LAYOUT("mbr", ROOT_PART) "boot: {loader: grub, mode: legacy-bios}\n");
	spectext_accepted(LAYOUT("gpt", ESP_PART ", " ROOT_PART) "boot: {loader: uki, mode: auto}\n");
	REFUSED(LAYOUT("gpt", ROOT_PART) "boot: {loader: grub, mode: uefi}\n",
		"t.yaml:6:28: UEFI starts from an EFI system partition: the root disk has no EFI system partition");
	REFUSED(LAYOUT("gpt", ROOT_PART) "boot: {loader: grub, mode: legacy-bios}\n",
		"t.yaml:6:28: 'mode: legacy-bios': the root disk has no place for GRUB's core: add a partition");
	REFUSED(LAYOUT("gpt", ROOT_PART) "boot: {loader: systemd-boot}\n",
		"t.yaml:6:16: systemd-boot starts from an EFI system partition");
	REFUSED(LAYOUT("gpt", ESP_PART ", " ROOT_PART) "boot: {loader: uki, mode: uefi-preferred}\n",
		"t.yaml:6:27: uki starts on UEFI only: with 'mode: uefi-preferred' the loader must be grub");
	REFUSED(LAYOUT("gpt", "{name: esp, type: esp, size: 64M}, " ROOT_PART) "boot: {loader: grub}\n",
		"t.yaml:5:50: firmware reads only FAT: the EFI system partition needs 'filesystem: vfat'");
	REFUSED(LAYOUT("gpt", ROOT_PART) "boot: {cmdline: x}\n",
		"t.yaml:6:17: 'cmdline' needs a 'loader' that passes it");
	REFUSED(LAYOUT("gpt", BIOS_PART ", " ESP_PART ", " ROOT_PART) "boot: {loader: grub, cmdline: \"a='b'\"}\n",
		"t.yaml:6:31: GRUB cannot hand 'a='b'' of the command line to the kernel");
	REFUSED(LAYOUT("gpt", BIOS_PART ", " ROOT_PART) "boot: {loader: grub, cmdline: 'a=\"b'}\n",
		"t.yaml:6:31: a quote in the command line is not ended");
	REFUSED(LAYOUT("gpt", ROOT_PART) "boot: {loader: lilo}\n",
		"t.yaml:6:16: 'loader' cannot be 'lilo': known are grub, systemd-boot, uki, none");
	REFUSED(LAYOUT("gpt", ESP_PART ", " ROOT_PART) "boot: {loader: uki, sign: {key: k}}\n",
		"t.yaml:6:27: missing key 'certificate' in 'sign'");
}

static void test_mount_names(void **state)
{
	CLEANUP_FREE char *spec = NULL;
	char name[257];

	(void)state;
	REFUSED(PART("type: linux, filesystem: ext4, mount: \"/s\\rv\", size: 64M"),
		"t.yaml:5:164: mount point '/s");
	REFUSED(PART("type: linux, filesystem: ext4, mount: \"/s\\x7fv\", size: 64M"),
		"t.yaml:5:164: mount point '/s");
	memset(name, 'a', 256);
	name[256] = '\0';
	spec = buf_strf(NULL, LAYOUT("gpt", ROOT_PART ", {name: p, type: linux, filesystem: ext4, mount: /b/%s}"),
		name);
	REFUSED(spec, "t.yaml:5:164: a mount point has names of at most 255 bytes");
	spectext_accepted(PART("type: linux, filesystem: ext4, mount: /boot/efi, size: 64M"));
}

/* A label is had as it was given, or refused. */
static void test_labels(void **state)
{
	(void)state;
	spectext_accepted(PART("type: linux, filesystem: vfat, label: data-1, size: 64M"));
	spectext_accepted(PART("type: linux, filesystem: ext4, label: sixteen-bytes-ok, size: 64M"));
	REFUSED(PART("type: linux, filesystem: ext4, label: seventeen-bytes-1, size: 64M"),
		"t.yaml:5:164: label 'seventeen-bytes-1' is longer than the 16 bytes of ext4");
	REFUSED(PART("type: linux, filesystem: vfat, label: this-is-too-long-x, size: 64M"),
		"t.yaml:5:164: label 'this-is-too-long-x' is longer than the 11 bytes of vfat");
	REFUSED(PART("type: linux, filesystem: vfat, label: \"a*?/x\", size: 64M"),
		"t.yaml:5:164: vfat cannot hold label 'a*?/x'");
	REFUSED(PART("type: swap, filesystem: swap, label: sixteen-bytes-ok, size: 64M"),
		"t.yaml:5:163: label 'sixteen-bytes-ok' is longer than the 15 bytes of swap");
	REFUSED(PART("type: linux, filesystem: squashfs, label: x, size: 64M"),
		"t.yaml:5:168: squashfs has no label");
	REFUSED(HEAD "disks: [{device: /dev/xvda, filesystem: vfat, label: \"\\ta\", mount: /}]\n",
		"t.yaml:4:54: a label has no control characters");
}

#define SQUASH "{name: root, type: root, filesystem: squashfs, mount: /}"
#define DATA_DISK(parts) "  - {device: /dev/sdf, table: gpt, partitions: [" parts "]}\n"

/* What a layout can boot has one answer, for the spec's rules and for the plan. */
static void test_boot_layouts(void **state)
{
	(void)state;
	/* By its mount point, not by its type. */
	spectext_accepted(
		LAYOUT("gpt", BIOS_PART ", {name: boot, type: linux, filesystem: ext4, mount: /boot}, " SQUASH)
		"boot: {loader: grub}\n");
	REFUSED(LAYOUT("gpt", BIOS_PART ", " SQUASH) "boot: {loader: grub}\n",
		"t.yaml:6:16: GRUB finds /boot by the uuid of its file system, and a squashfs has none");
	REFUSED(LAYOUT("gpt", ESP_PART ", {name: b, type: xbootldr, filesystem: vfat, mount: /x}, " ROOT_PART)
		"boot: {loader: systemd-boot}\n",
		"t.yaml:5:172: an xbootldr partition is mounted at /boot: write 'mount: /boot'");
	REFUSED(LAYOUT("gpt", ROOT_PART) DATA_DISK(ESP_PART) "boot: {loader: uki}\n",
		"t.yaml:7:16: uki starts from an EFI system partition: the EFI system partition is not on");
	REFUSED(LAYOUT("gpt", ROOT_PART) DATA_DISK(BIOS_PART) "boot: {loader: grub, mode: legacy-bios}\n",
		"t.yaml:7:28: 'mode: legacy-bios': the partition of type bios-boot is not on the root disk");
	REFUSED(HEAD DISK "boot: {loader: grub}\n",
		"t.yaml:5:16: the image could not start. With a BIOS: GRUB's core has no place on a root disk");
	/* A type is the same when it is given as its GUID. */
	spectext_accepted(
		LAYOUT("gpt", "{name: e, type: c12a7328-f81f-11d2-ba4b-00a0c93ec93b, filesystem: vfat, size: 64M}, "
			       ROOT_PART) "boot: {loader: uki}\n");
}

static void test_layout_rules(void **state)
{
	(void)state;
	REFUSED(LAYOUT("mbr", "{name: a, type: linux, size: 1M}, {name: b, type: linux, size: 1M}, "
			      "{name: c, type: linux, size: 1M}, {name: d, type: linux, size: 1M}, " ROOT_PART),
		"t.yaml:5:32: 5 partitions are more than an MBR holds (4; there are no logical ones): take a GPT");
	REFUSED(LAYOUT("gpt", "{name: a, type: linux, size: 10%}, " ROOT_PART),
		"t.yaml:5:79: a percentage needs a disk of fixed size: give the disk a 'size'");
	REFUSED(LAYOUT("gpt", "{name: a, type: linux, size: 0%}, " ROOT_PART),
		"t.yaml:5:79: '0%' is not a size");
	REFUSED(LAYOUT("gpt", "{name: r, type: root, filesystem: ext4, mount: /, size: 1G, grow: true}, "
			      "{name: b, type: linux, size: 1M}"),
		"t.yaml:5:116: only the last partition of a disk can grow: move 'r' to the end");
	REFUSED(LAYOUT("gpt", "{name: r, type: root, filesystem: ext4, mount: /, size: auto}, "
			      "{name: v, type: root-verity, verity: s, size: auto}") "boot: {loader: uki}\n",
		"t.yaml:5:150: this disk has no partition 's' whose hashes could be made",
		"t.yaml:6:16: uki starts from an EFI system partition");
	REFUSED(LAYOUT("gpt", ESP_PART ", {name: r, type: root, filesystem: ext4, mount: /, size: auto}, "
			      "{name: v, type: root-verity, verity: r, size: auto}, "
			      "{name: w, type: root-verity, verity: r, size: auto}") "boot: {loader: uki}\n",
		"t.yaml:5:274: the root has its hashes in line 5 already");
	REFUSED(LAYOUT("gpt", ESP_PART ", {name: r, type: root, filesystem: ext4, mount: /, size: auto}, "
			      "{name: v, type: root-verity, verity: r, size: auto}"),
		"t.yaml:5:221: somebody must tell the kernel the root hash: write 'loader: uki' in 'boot'");
}

/* What a table cannot hold is known before any work. */
static void test_table_limits(void **state)
{
	static const char umlauts[] = "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4"
				      "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4";
	CLEANUP_FREE char *spec = buf_strf(NULL, LAYOUT("gpt", ROOT_PART ", {name: \"%s\", type: linux, size: 1M}"),
		umlauts);

	(void)state;
	spectext_accepted(spec);
	REFUSED(LAYOUT("gpt", ROOT_PART ", {name: \"\xf0\x9f\x98\x80\", type: linux, size: 1M}"),
		"t.yaml:5:123: partition name '\xf0\x9f\x98\x80' is not UTF-8 of the basic plane");
	REFUSED(LAYOUT("gpt", ROOT_PART ", {name: \"a\\nType=swap\", type: linux, size: 1M}"),
		"t.yaml:5:123: a partition's name has no control characters");
	REFUSED(LAYOUT("mbr", BIOS_PART ", " ROOT_PART),
		"t.yaml:5:69: partition 'bios': an MBR has no type for bios-boot");
	REFUSED(LAYOUT("mbr", "{name: x, type: 11111111-2222-3333-4444-555555555555, size: 1M}, " ROOT_PART),
		"t.yaml:5:66: partition 'x': an MBR has no type for a type given as GUID");
	REFUSED(LAYOUT("mbr", "{name: root, type: root, filesystem: ext4, mount: /, size: 1G}, "
			      "{name: x, type: linux, size: 2T}"),
		"t.yaml:5:143: partition 'x' ends behind 2 TiB, which is as far as an MBR reaches");
	REFUSED(LAYOUT("gpt", ROOT_PART)
			"  - {device: /dev/sdf, table: hybrid, partitions: [{name: x, type: linux, size: 1M}]}\n",
		"t.yaml:6:31: a hybrid table has the root partition in its MBR");
	REFUSED(PART("type: 00000000-0000-0000-0000-000000000000, size: 1M"),
		"t.yaml:5:132: partition 'p': a type of zeros marks an entry");
	REFUSED(PART("type: linux, size: 70T"), "t.yaml:5:5: 70.0 TiB are needed, and an EBS volume has");
	REFUSED(PART("type: bios-boot, filesystem: ext4, mount: /srv, size: 64M"),
		"t.yaml:5:155: a partition of type bios-boot has no 'filesystem'");
	REFUSED(PART("type: 21686148-6449-6e6f-744e-656564454649, filesystem: ext4, size: 64M"),
		"t.yaml:5:182: a partition of type bios-boot has no 'filesystem'");
	REFUSED(PART("type: root-verity, filesystem: ext4, size: 64M"),
		"t.yaml:5:157: a partition of type root-verity has no 'filesystem'");
	REFUSED(LAYOUT("gpt", ESP_PART ", {name: r, type: root, filesystem: ext4, mount: /}, "
			      "{name: v, type: linux, verity: r}") "boot: {loader: uki}\n",
		"t.yaml:5:188: the hashes of 'verity' need 'type: root-verity'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot),
		cmocka_unit_test(test_mount_names),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_boot_layouts),
		cmocka_unit_test(test_layout_rules),
		cmocka_unit_test(test_table_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
