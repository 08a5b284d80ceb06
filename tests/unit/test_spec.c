/* SPDX-License-Identifier: Apache-2.0 */
/* The spec reader: what a good spec becomes, and the text and place of each mistake. */
#include "builder/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "tests/lib/spectext.h"

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
	spectext_parse(&p, whole, strlen(whole));
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
	spectext_done(&p);
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
	spectext_done(&p);
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
	spectext_accepted(HEAD "disks:\n  - &a {device: /dev/xvda, filesystem: ext4, mount: /}\n"
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
	spectext_parse(&p, text.data, text.len);
	assert_int_equal(p.ret, -1);
	assert_non_null(strstr(buf_str(&p.text), "unfold to more than"));
	spectext_done(&p);
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
		spectext_parse(&p, text.data, text.len);
		assert_int_equal(p.ret, -1);
		assert_non_null(strstr(buf_str(&p.text), "nested more than 32 deep"));
		spectext_done(&p);
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
	spectext_done(&p);
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
	spectext_parse(&p, text.data, text.len);
	assert_int_equal(p.diag.count, 150);
	assert_int_equal(p.diag.nr, DIAG_MAX);
	assert_non_null(strstr(buf_str(&p.text), "and 50 more mistakes"));
	spectext_done(&p);
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
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_disk_rules),
		cmocka_unit_test(test_volume_rules),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_many_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
