/* SPDX-License-Identifier: Apache-2.0 */
/* The spec reader: what a good spec becomes, and the text and place of each mistake. */
#include "builder/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/num.h"

#define HEAD "name: x\nversion: \"1\"\narchitecture: x86_64\n"
#define DISK "disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\n"

struct parsed {
	struct spec spec;
	struct diag diag;
	struct error err;
	struct buf text;
	int ret;
};

static void parse(struct parsed *p, const char *text, size_t len)
{
	memset(p, 0, sizeof(*p));
	p->ret = spec_parse(&p->spec, text, len, "t.yaml", &p->diag, &p->err);
	assert_int_equal(diag_text(&p->diag, &p->text, &p->err), 0);
}

static void done(struct parsed *p)
{
	spec_release(&p->spec);
	diag_release(&p->diag);
	buf_release(&p->text);
}

/* The spec must be refused with exactly these lines (each may be cut at its end). */
static void refused(const char *text, const char *const *lines)
{
	struct parsed p;
	const char *rest;

	parse(&p, text, strlen(text));
	assert_int_equal(p.ret, -1);
	assert_int_equal(p.err.kind, ERROR_USAGE);
	rest = buf_str(&p.text);
	for (; *lines; lines++) {
		if (strncmp(rest, *lines, strlen(*lines)))
			fail_msg("expected '%s', got '%s'", *lines, rest);
		rest = strchr(rest, '\n');
		assert_non_null(rest);
		rest++;
	}
	if (*rest)
		fail_msg("one mistake too many: '%s'", rest);
	done(&p);
}

#define REFUSED(text, ...) refused(text, (const char *const[]){__VA_ARGS__, NULL})

static void accepted(const char *text)
{
	struct parsed p;

	parse(&p, text, strlen(text));
	if (p.ret < 0)
		fail_msg("%s", buf_str(&p.text));
	done(&p);
}

static const char whole[] =
	"name: debian-12-minimal\nversion: 12.10\narchitecture: arm64\nepoch: 1735689600\n"
	"root:\n"
	"  - debian: {suite: bookworm, packages: [openssh-server, cloud-init], components: main}\n"
	"  - tar: extra.tar.zst\n"
	"  - directory: {path: overlay/, owner: root}\n"
	"  - write: {path: /etc/motd, content: \"a\\0b\", mode: 0640, owner: root:adm}\n"
	"  - mkdir: {path: /srv/x, mode: \"1777\"}\n"
	"  - symlink: {path: /etc/l, target: ../x}\n"
	"  - remove: /var/cache/*\n"
	"  - chmod: {path: /etc/x, mode: \"600\", recursive: true}\n"
	"  - chown: {path: /etc/x, owner: \"1:2\"}\n"
	"disks:\n"
	"  - device: /dev/xvda\n"
	"    size: 8G\n"
	"    table: gpt\n"
	"    partitions:\n"
	"      - {name: data, type: linux, filesystem: ext4, mount: /srv, size: 512M}\n"
	"      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}\n"
	"    ebs: {type: gp3, iops: 3000, throughput: 125, delete_on_termination: false}\n"
	"  - {device: /dev/sdf, ephemeral: 0}\n"
	"  - {device: /dev/sdg, empty: true, size: 20G, ebs: {encrypted: true}}\n"
	"boot: {loader: none, mode: uefi}\n"
	"ami: {name: \"{name}\", imds: v2.0, tags: {team: platform}}\n";

static void test_whole(void **state)
{
	const struct spec_layer *l;
	struct parsed p;

	(void)state;
	parse(&p, whole, strlen(whole));
	if (p.ret < 0)
		fail_msg("%s", buf_str(&p.text));
	assert_string_equal(p.spec.version, "12.10");
	assert_int_equal(p.spec.epoch, 1735689600);
	assert_int_equal(p.spec.nr_layers, 9);
	l = p.spec.layers;
	assert_int_equal(l[0].packages.nr, 2);
	assert_string_equal(l[0].packages.items[1], "cloud-init");
	assert_string_equal(l[0].components.items[0], "main");
	assert_string_equal(l[1].path, "extra.tar.zst");
	assert_true(l[2].root_owner);
	assert_int_equal(l[3].content_len, 3);
	assert_memory_equal(l[3].content, "a\0b", 3);
	assert_int_equal(l[3].mode, 0640);
	assert_int_equal(l[4].mode, 01777);
	assert_string_equal(l[5].target, "../x");
	assert_true(l[7].recursive);
	assert_int_equal(p.spec.disks[0].partitions[0].size, 512 * MIB);
	assert_int_equal(p.spec.disks[0].partitions[1].size_kind, SPEC_SIZE_REST);
	assert_int_equal(p.spec.disks[0].partitions[1].place.line, 21);
	assert_int_equal(p.spec.disks[0].ebs.delete_on_termination, 0);
	assert_int_equal(p.spec.disks[1].ephemeral, 0);
	assert_int_equal(p.spec.disks[2].size, 20 * GIB);
	assert_int_equal(p.spec.disks[2].ephemeral, -1);
	assert_true(p.spec.ami.ena);
	assert_string_equal(p.spec.ami.tags[0].value, "platform");
	done(&p);
}

static void test_paths_join(void **state)
{
	static const char text[] = HEAD DISK "root: [{tar: a.tar}, {tar: /b.tar}, "
		"{oci: img}, {oci: {image: 'oci:img:tag'}}, {oci: 'docker://h/img:tag'}]\n";
	struct parsed p = {0};

	(void)state;
	p.ret = spec_parse(&p.spec, text, strlen(text), "some/dir/t.yaml", &p.diag, &p.err);
	assert_int_equal(p.ret, 0);
	assert_string_equal(p.spec.layers[0].path, "some/dir/a.tar");
	assert_string_equal(p.spec.layers[1].path, "/b.tar");
	assert_string_equal(p.spec.layers[2].image, "some/dir/img");
	assert_string_equal(p.spec.layers[3].image, "oci:some/dir/img:tag");
	assert_string_equal(p.spec.layers[4].image, "docker://h/img:tag");
	done(&p);
}

static void test_three_mistakes(void **state)
{
	(void)state;
	REFUSED("name: x\nverson: 1\narchitecture: sparc\n"
		"disks:\n  - device: /dev/xvda\n    filesystem: ext4\n    mount: /\n    size: 8 apples\n",
		"t.yaml:1:1: missing key 'version'",
		"t.yaml:2:1: unknown key 'verson' in the spec: did you mean 'version'?",
		"t.yaml:3:15: 'architecture' cannot be 'sparc': known are x86_64, arm64",
		"t.yaml:8:11: ");
}

static void test_types(void **state)
{
	(void)state;
	REFUSED(HEAD "disks: 3\n", "t.yaml:4:8: 'disks' must be a list, not a text");
	REFUSED(HEAD DISK "root: {tar: x}\n", "t.yaml:5:7: 'root' must be a list, not a mapping");
	REFUSED("- 1\n", "t.yaml:1:1: the spec must be a mapping (key: value), not a list");
	REFUSED(HEAD DISK "epoch: yesterday\n", "t.yaml:5:8: 'epoch' must be seconds since 1970");
	REFUSED(HEAD DISK "epoch: -1\n", "t.yaml:5:8: 'epoch' must be seconds since 1970");
	REFUSED(HEAD DISK "ami:\n", "t.yaml:5:5: 'ami' must be a mapping");
	REFUSED(HEAD DISK "ami: {ena: yes}\n", "t.yaml:5:12: 'ena' must be true or false, not 'yes'");
	REFUSED(HEAD DISK "ami: {name: }\n", "t.yaml:5:13: 'name' has no value");
	REFUSED(HEAD DISK "ami: {name: \"a\\0b\"}\n", "t.yaml:5:13: 'name' holds a NUL byte");
	REFUSED(HEAD DISK "root: [{write: {path: /a, content: x, mode: 999}}]\n",
		"t.yaml:5:45: 'mode' must be octal permissions");
	REFUSED(HEAD DISK "root: [{mkdir: a}]\n", "t.yaml:5:16: 'a' is a path inside the image");
}

static void test_keys(void **state)
{
	(void)state;
	REFUSED(HEAD HEAD DISK, "t.yaml:4:1: 'name' is given twice, first in line 1",
		"t.yaml:5:1: 'version' is given twice", "t.yaml:6:1: 'architecture' is given twice");
	REFUSED(HEAD DISK "ami: {tags: {a: 1, a: 2}}\n", "t.yaml:5:20: tag 'a' is given twice");
	REFUSED(HEAD DISK "root: [{tar: x, mkdir: /y}]\n", "t.yaml:5:8: a layer has one key");
	REFUSED(HEAD DISK "? [a]\n: b\n", "t.yaml:5:3: a key of the spec must be a text");
	REFUSED(HEAD DISK "root: [{debian: {}}]\n", "t.yaml:5:17: missing key 'suite' in a debian layer");
	REFUSED(HEAD DISK "root: [{write: {path: /x}}]\n", "t.yaml:5:16: missing key 'content'");
	REFUSED(HEAD DISK "root: [{oci: {tag: x}}, {oci: []}]\n",
		"t.yaml:5:14: missing key 'image' in an oci layer",
		"t.yaml:5:15: unknown key 'tag' in an oci layer",
		"t.yaml:5:31: an oci layer must be");
}

static void test_later(void **state)
{
	(void)state;
	REFUSED(HEAD DISK "root: [{enable: [a]}, {run: x}]\n",
		"t.yaml:5:9: 'enable' is not supported by this version",
		"t.yaml:5:24: 'run' is not supported by this version");
	REFUSED(HEAD "disks: [{device: /dev/xvda, filesystem: zfs, mount: /}]\n",
		"t.yaml:4:41: 'filesystem' cannot be 'zfs': known are ext4");
}

static void test_publish_keys(void **state)
{
	static const char text[] = HEAD DISK
		"ami:\n  kms_key: alias/ami\n  protect: true\n"
		"  copies: [eu-west-1, {region: us-west-2, encrypt: true, kms_key: alias/w}]\n"
		"  share: {accounts: [111122223333, 012345678901]}\n"
		"  deprecate: {after_days: 365, old_after_days: 0}\n";
	struct parsed p;

	(void)state;
	parse(&p, text, strlen(text));
	assert_int_equal(p.ret, -1); /* the first copy is encrypted, and shared without a key */
	assert_non_null(strstr(p.text.data, "t.yaml:8:12: the copy in eu-west-1 is shared too"));
	assert_int_equal(p.spec.ami.nr_copies, 2);
	assert_string_equal(p.spec.ami.copies[0].region, "eu-west-1");
	assert_int_equal(p.spec.ami.copies[0].encrypt, -1);
	assert_int_equal(p.spec.ami.copies[1].encrypt, 1);
	assert_string_equal(p.spec.ami.copies[1].kms_key, "alias/w");
	assert_string_equal(p.spec.ami.share.accounts.items[1], "012345678901");
	assert_int_equal(p.spec.ami.deprecate_days, 365);
	assert_true(p.spec.ami.deprecate_old);
	assert_int_equal(p.spec.ami.deprecate_old_days, 0);
	assert_true(p.spec.ami.protect);
	done(&p);
	accepted(HEAD DISK "ami: {share: {public: true}, copies: [us-gov-east-1]}\n");
	accepted(HEAD DISK "ami: {share: {organizations: "
			   "'arn:aws:organizations::111122223333:organization/o-1'}}\n");
}

static void test_publish_rules(void **state)
{
	(void)state;
	REFUSED(HEAD DISK "ami: {copies: [Europe, eu-west-1, {region: eu-west-1}, {kms_key: a}]}\n",
		"t.yaml:5:16: 'Europe' is no AWS region",
		"t.yaml:5:44: eu-west-1 gets a copy in line 5 already", "t.yaml:5:56: missing key 'region' in a copy");
	REFUSED(HEAD DISK "ami: {encrypt: true, copies: [{region: eu-west-1, encrypt: false}]}\n",
		"t.yaml:5:60: a copy of an encrypted snapshot is always encrypted");
	REFUSED(HEAD DISK "ami: {encrypt: false, kms_key: a, deprecate: {}}\n",
		"t.yaml:5:16: 'encrypt: false' does not go with 'kms_key'", "t.yaml:5:46: 'deprecate' needs");
	REFUSED(HEAD DISK "ami: {encrypt: true, share: {public: true, accounts: ['1']}}\n",
		"t.yaml:5:29: the account's default key cannot be shared",
		"t.yaml:5:38: an AMI with encrypted snapshots cannot be public", "t.yaml:5:54: '1' is no account");
	REFUSED(HEAD DISK "ami: {share: {public: true}, copies: [{region: eu-west-1, encrypt: true}]}\n",
		"t.yaml:5:39: 'share' makes the AMI public, an encrypted copy cannot be");
	REFUSED(HEAD DISK "ami: {copies: [{region: eu-west-1, kms_key: 'arn:aws:kms:eu-west-2:111122223333:key/1'}], "
			  "kms_key: 'arn:aws:s3:::x'}\n",
		"t.yaml:5:45: KMS keys hold for one region", "t.yaml:5:100: 'arn:aws:s3:::x' is no ARN of a KMS key");
	REFUSED(HEAD DISK "ami: {share: {organizations: [o-1], organizational_units: "
			  "['arn:aws:organizations::111122223333:organization/o-1']}}\n",
		"t.yaml:5:30: 'o-1' is no ARN of an organization",
		"t.yaml:5:59: 'arn:aws:organizations::111122223333:organization/o-1' is no ARN of an organizational");
	REFUSED(HEAD DISK "ami: {share: {public: true}, deprecate: {after_days: 800}}\n",
		"t.yaml:5:41: a public AMI is deprecated after two years");
}

#define ROOT_PART "{name: root, type: root, filesystem: ext4, mount: /, size: rest}"
#define ESP_PART "{name: esp, type: esp, filesystem: vfat, mount: /boot/efi, size: 64M}"
#define BIOS_PART "{name: bios, type: bios-boot, size: 1M}"
#define LAYOUT(table, parts)                                                                       \
	HEAD "disks:\n  - {device: /dev/xvda, table: " table ", partitions: [" parts "]}\n"

#define PART(text) LAYOUT("gpt", ROOT_PART ", {name: p, " text "}")

static void test_boot(void **state)
{
	(void)state;
	accepted(LAYOUT("gpt", BIOS_PART ", " ESP_PART ", " ROOT_PART)
		"boot: {loader: grub, mode: uefi-preferred, cmdline: quiet, timeout: 3}\n");
	accepted(LAYOUT("mbr", ROOT_PART) "boot: {loader: grub, mode: legacy-bios}\n");
	accepted(LAYOUT("gpt", ESP_PART ", " ROOT_PART) "boot: {loader: uki, mode: auto}\n");
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
	accepted(PART("type: linux, filesystem: ext4, mount: /boot/efi, size: 64M"));
}

/* A label is had as it was given, or refused. */
static void test_labels(void **state)
{
	(void)state;
	accepted(PART("type: linux, filesystem: vfat, label: data-1, size: 64M"));
	accepted(PART("type: linux, filesystem: ext4, label: sixteen-bytes-ok, size: 64M"));
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
	accepted(LAYOUT("gpt", BIOS_PART ", {name: boot, type: linux, filesystem: ext4, mount: /boot}, " SQUASH)
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
	accepted(LAYOUT("gpt", "{name: e, type: c12a7328-f81f-11d2-ba4b-00a0c93ec93b, filesystem: vfat, size: 64M}, "
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
	accepted(spec);
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

static void test_syntax(void **state)
{
	(void)state;
	REFUSED("name: [x\n", "t.yaml:2:1: not valid YAML: ");
	REFUSED("", "t.yaml: the file is empty");
	REFUSED("# nothing\n", "t.yaml: the file is empty");
	REFUSED(HEAD DISK "---\nname: y\n", "t.yaml:6:1: a second document begins here");
	REFUSED("name: *nobody\n", "t.yaml:1:7: not valid YAML: found undefined alias");
	REFUSED("name: \"\xff\"\n", "t.yaml: not valid YAML: ");
}

static void test_aliases(void **state)
{
	(void)state;
	accepted(HEAD "disks:\n  - &a {device: /dev/xvda, filesystem: ext4, mount: /}\n"
		      "root:\n  - debian: {suite: bookworm, packages: &p [a, b]}\n"
		      "  - debian: {suite: bookworm, packages: *p}\n");
	/* A document that contains itself ends. */
	REFUSED("&a [*a]\n", "t.yaml:1:1: the spec must be a mapping");
	REFUSED(HEAD DISK "root: &r\n  - tar: *r\n", "t.yaml:5:7: a tar layer must be a mapping");
}

static void test_bomb(void **state)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct error err;
	struct parsed p;

	(void)state;
	assert_int_equal(buf_add_str(&text, HEAD DISK "root:\n  - &l {debian: {suite: s, packages: [", &err), 0);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(buf_add_str(&text, "p,", &err), 0);
	assert_int_equal(buf_add_str(&text, "p]}}\n", &err), 0);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(buf_add_str(&text, "  - *l\n", &err), 0);
	parse(&p, text.data, text.len);
	assert_int_equal(p.ret, -1);
	assert_non_null(strstr(buf_str(&p.text), "unfold to more than"));
	done(&p);
}

/* 100,000 brackets took minutes before they were counted. */
static void test_depth(void **state)
{
	static const char *const opening[] = {"[", "- ", "{a: "};
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct error err;
	struct parsed p;

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(opening); k++) {
		buf_clear(&text);
		assert_int_equal(buf_add_str(&text, HEAD DISK "root:\n  ", &err), 0);
		for (int i = 0; i < 100000; i++)
			assert_int_equal(buf_add_str(&text, opening[k], &err), 0);
		parse(&p, text.data, text.len);
		assert_int_equal(p.ret, -1);
		assert_non_null(strstr(buf_str(&p.text), "nested more than 32 deep"));
		done(&p);
	}
}

static void test_disk_rules(void **state)
{
	(void)state;
	REFUSED(HEAD "disks:\n  - {device: a, table: gpt, "
		"partitions: [{name: r, type: root, filesystem: ext4, mount: /},\n"
		     "      {name: r, type: nope, size: rest},\n"
		     "      {name: t, type: linux},\n"
		     "      {name: u, type: linux, size: rest, filesystem: ext4, mount: /}]}\n"
		     "  - {device: a, empty: true}\n",
		"t.yaml:6:14: partition 'r' is there already, in line 5",
		"t.yaml:6:23: unknown partition type 'nope'",
		"t.yaml:7:7: a partition without 'filesystem' needs a 'size'",
		"t.yaml:8:36: only one partition can take the rest: line 6 does",
		"t.yaml:8:67: mount point '/' is taken in line 5",
		"t.yaml:9:5: an empty volume needs a 'size'",
		"t.yaml:9:14: device 'a' is there already, in line 5");
}

static void test_volume_rules(void **state)
{
	(void)state;
	REFUSED(HEAD DISK "boot: {mode: uefi-preferred}\nami: {tpm: v2.0}\n",
		"t.yaml:6:12: 'tpm' needs 'mode: uefi'");
	REFUSED(HEAD "disks:\n"
		     "  - {device: a, filesystem: ext4, mount: /, size: 1500M, ebs: {type: gp2, iops: 5}}\n"
		     "  - {device: b, ephemeral: 24}\n"
		     "  - {device: c, empty: true, ephemeral: 1, size: 1G}\n",
		"t.yaml:5:51: an EBS volume has whole GiB", "t.yaml:5:70: volume type gp2 has no 'iops'",
		"t.yaml:6:28: 'ephemeral' must be a number from 0 to 23",
		"t.yaml:7:5: a disk is one of", "t.yaml:7:50: 'size' does not go with 'ephemeral'");
}

static void test_words(void **state)
{
	(void)state;
	REFUSED("name: ../x\nversion: a b\narchitecture: x86_64\n" DISK,
		"t.yaml:1:7: 'name' may have letters, digits and", "t.yaml:2:10: 'version' may have letters");
	REFUSED(HEAD DISK "root: [{debian: {suite: --x, packages: [-o, 'a,b'], mirror: -, snapshot: 2026}}]\n",
		"t.yaml:5:25: '--x' is no suite name", "t.yaml:5:40: '-o' is no package name",
		"t.yaml:5:40: 'a,b' is no package name", "t.yaml:5:61: '-' is no mirror",
		"t.yaml:5:74: 'snapshot' must be a time");
}

static void test_sources(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char dir[4096];
	static const char text[] = HEAD DISK
		"root:\n  - tar: none.tar\n  - directory: t.yaml\n  - write: {path: /a, from: .}\n";
	struct parsed p = {0};
	CLEANUP_FREE char *path = NULL;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/amiwright-spec-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	path = file_join(dir, "t.yaml", &p.err);
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0644, false, &p.err), 0);
	assert_int_equal(spec_read(&p.spec, path, &p.diag, &p.err), -1);
	assert_int_equal(p.diag.count, 3);
	assert_int_equal(diag_text(&p.diag, &p.text, &p.err), 0);
	assert_non_null(strstr(buf_str(&p.text), ":6:10: cannot find "));
	assert_non_null(strstr(buf_str(&p.text), ":7:16: "));
	assert_non_null(strstr(buf_str(&p.text), ":8:29: "));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	done(&p);
}

static void test_many_mistakes(void **state)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct error err;
	struct parsed p;

	(void)state;
	assert_int_equal(buf_add_str(&text, HEAD DISK, &err), 0);
	for (int i = 0; i < 150; i++)
		assert_int_equal(buf_addf(&text, &err, "qqqqqqqqq%d: 1\n", i), 0);
	parse(&p, text.data, text.len);
	assert_int_equal(p.diag.count, 150);
	assert_int_equal(p.diag.nr, DIAG_MAX);
	assert_non_null(strstr(buf_str(&p.text), "and 50 more mistakes"));
	done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_paths_join),
		cmocka_unit_test(test_three_mistakes),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_boot),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_mount_names),
		cmocka_unit_test(test_boot_layouts),
		cmocka_unit_test(test_layout_rules),
		cmocka_unit_test(test_table_limits),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_disk_rules),
		cmocka_unit_test(test_volume_rules),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_publish_keys),
		cmocka_unit_test(test_publish_rules),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_many_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
