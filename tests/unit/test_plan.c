/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: sizes and places, ids, fstab, mount points, mapping, names; and mistakes with their places. */
#include "builder/plan_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "fs/probe.h"
#include "fs/tree_edit.h"

enum { EPOCH = 1735689600 };

#define HEAD "name: p\nversion: \"1\"\narchitecture: x86_64\nepoch: 1735689600\n"
#define PARTS                                                                                      \
	HEAD "disks:\n  - device: /dev/xvda\n    table: gpt\n    partitions:\n"

struct planned {
	struct spec spec;
	struct diag diag;
	struct tree *tree;
	struct plan plan;
	struct buf text; /* mistakes */
	struct error err;
	int ret;
};

static void make(struct planned *p, const char *text, void (*fill)(struct tree *t), const char *salt)
{
	struct plan_opts opts = {.epoch = EPOCH, .salt = salt};

	memset(p, 0, sizeof(*p));
	p->ret = spec_parse(&p->spec, text, strlen(text), "t.yaml", &p->diag, &p->err);
	if (!p->ret) {
		assert_int_equal(plan_check_spec(&p->spec, &p->diag, &p->err), 0);
		p->ret = diag_result(&p->diag, &p->err);
	}
	if (!p->ret) {
		p->tree = tree_new("/tmp", &p->err);
		assert_non_null(p->tree);
		if (fill)
			fill(p->tree);
		p->ret = plan_make(&p->plan, &p->spec, p->tree, &opts, &p->diag, &p->err);
	}
	assert_int_equal(diag_text(&p->diag, &p->text, &p->err), 0);
}

static void done(struct planned *p)
{
	plan_release(&p->plan);
	tree_free(p->tree);
	spec_release(&p->spec);
	diag_release(&p->diag);
	buf_release(&p->text);
}

static void good(struct planned *p, const char *text, void (*fill)(struct tree *t))
{
	make(p, text, fill, "");
	if (p->ret < 0)
		fail_msg("%s", p->err.text);
}

static void bad(const char *text, void (*fill)(struct tree *t), const char *expected)
{
	struct planned p;

	make(&p, text, fill, "");
	assert_int_equal(p.ret, -1);
	assert_int_equal(p.err.kind, ERROR_USAGE);
	if (!strstr(buf_str(&p.text), expected))
		fail_msg("no '%s' in '%s'", expected, buf_str(&p.text));
	done(&p);
}

static void write_file(struct tree *t, const char *path, const void *data, size_t len)
{
	struct error err;

	assert_int_equal(tree_edit_write(t, path, data, len, 0644, (struct tree_edit_owner){0, 0}, 0, &err), 0);
}

static void add_40_mib(struct tree *t)
{
	char *data = malloc(40 * MIB);

	assert_non_null(data);
	memset(data, 'x', 40 * MIB);
	write_file(t, "/data", data, 40 * MIB);
	free(data);
}

static const char two_parts[] = PARTS
	"      - {name: bios, type: bios-boot, size: 1M}\n"
	"      - {name: srv, type: srv, filesystem: ext4, mount: /srv/data, size: 64M}\n"
	"      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}\n"
	"      - {name: spare, type: linux, filesystem: ext4, size: 16M}\n";

static void test_places(void **state)
{
	const struct plan_disk *disk;
	struct planned p;
	struct tree_attr attr;
	tree_node node;

	(void)state;
	good(&p, two_parts, NULL);
	disk = &p.plan.disks[0];
	assert_int_equal(disk->size, GIB);
	assert_int_equal(disk->table.nr, 4);
	assert_int_equal(disk->nr_fs, 3);
	assert_int_equal(disk->table.parts[0].off, MIB);
	assert_int_equal(disk->fs[0].off, 2 * MIB);
	assert_int_equal(disk->fs[0].len, 64 * MIB);
	assert_int_equal(disk->fs[1].off, 66 * MIB);
	/* The backup table has the last MiB. */
	assert_int_equal(disk->fs[2].off + disk->fs[2].len, GIB - MIB);
	assert_string_equal(disk->fs[1].fs.opts.label, "root");
	assert_int_equal(tree_lookup(p.tree, "/srv/data", false, &node, &p.err), 0);
	assert_int_equal(disk->fs[0].fs.root, node);
	tree_get(p.tree, node, &attr);
	assert_true(attr.mount_point);
	assert_ptr_equal(disk->fs[2].fs.tree, p.plan.blank);
	done(&p);
}

static void fstab_of(struct planned *p, char *out, size_t size)
{
	struct tree_attr attr;
	tree_node node;

	assert_int_equal(tree_lookup(p->tree, "/etc/fstab", false, &node, &p->err), 0);
	assert_true(node != TREE_NONE);
	tree_get(p->tree, node, &attr);
	assert_true(attr.size < size);
	assert_int_equal(tree_pread(p->tree, node, out, attr.size, 0, &p->err), 0);
	out[attr.size] = '\0';
}

static void test_fstab(void **state)
{
	char expected[600], found[600], root[UUID_TEXT_SIZE], data[UUID_TEXT_SIZE];
	struct planned p;

	(void)state;
	good(&p, two_parts, NULL);
	uuid_format(data, p.plan.disks[0].fs[0].fs.opts.uuid);
	uuid_format(root, p.plan.disks[0].fs[1].fs.opts.uuid);
	snprintf(expected, sizeof(expected),
		"# <file system> <mount point> <type> <options> <dump> <pass>\n"
		"UUID=%s / ext4 defaults,errors=remount-ro 0 1\n"
		"UUID=%s /srv/data ext4 defaults 0 2\n", root, data);
	fstab_of(&p, found, sizeof(found));
	assert_string_equal(found, expected);
	done(&p);
}

static void add_comment_fstab(struct tree *t)
{
	write_file(t, "/etc/fstab", "# UNCONFIGURED\n\n", 16);
}

static void add_own_fstab(struct tree *t)
{
	write_file(t, "/etc/fstab", "# mine\n/dev/sda1 / ext4\n", 24);
}

static void test_fstab_that_is_there(void **state)
{
	char found[600];
	struct planned p;

	(void)state;
	log_set_fd(-1);
	good(&p, two_parts, add_own_fstab);
	fstab_of(&p, found, sizeof(found));
	assert_string_equal(found, "# mine\n/dev/sda1 / ext4\n");
	done(&p);
	good(&p, two_parts, add_comment_fstab);
	fstab_of(&p, found, sizeof(found));
	assert_non_null(strstr(found, "UUID="));
	done(&p);
	log_set_fd(2);
}

static void add_tmp_fstab(struct tree *t)
{
	write_file(t, "/etc/fstab", "tmpfs /tmp tmpfs defaults 0 0\n", 30);
}

static void add_own_root_line(struct tree *t)
{
	static const char line[] = "PARTUUID=01234567-89ab-cdef-0123-456789abcdef / squashfs ro 0 0\n";

	write_file(t, "/etc/fstab", line, sizeof(line) - 1);
}

#define SQUASH_PARTS                                                                               \
	"strict: true\n" PARTS "      - {name: root, type: root, filesystem: squashfs, mount: /, size: auto}\n"
#define VERITY_PARTS                                                                               \
	SQUASH_PARTS "      - {name: esp, type: esp, filesystem: vfat, size: 64M}\n"                 \
		     "      - {name: v, type: root-verity, verity: root, size: auto}\n"               \
		     "boot: {loader: uki}\n"

static void fstab_text(const char *spec, void (*fill)(struct tree *t), const char *there,
	const char *absent)
{
	struct planned p;

	make(&p, spec, fill, "");
	if ((there && !strstr(buf_str(&p.text), there)) || strstr(buf_str(&p.text), absent))
		fail_msg("%s", buf_str(&p.text));
	done(&p);
}

/* A root that is mounted read-only by the kernel's command line needs no line; others get the right one. */
static void test_fstab_of_read_only_root(void **state)
{
	(void)state;
	log_set_fd(-1);
	fstab_text(SQUASH_PARTS, add_tmp_fstab, NULL, "fstab");
	fstab_text(VERITY_PARTS, add_tmp_fstab, NULL, "fstab");
	fstab_text(VERITY_PARTS, add_own_root_line, "which dm-verity does not check: take that line out",
		"but the spec makes it");
	fstab_text("strict: true\n" PARTS "      - {name: r, type: root, filesystem: ext4, mount: /, size: rest}\n",
		add_tmp_fstab, " / ext4 defaults,errors=remount-ro 0 1'", "0 2");
	log_set_fd(2);
}

static void test_ids(void **state)
{
	struct planned a, b, c;

	(void)state;
	make(&a, two_parts, NULL, "");
	make(&b, two_parts, add_40_mib, "");
	make(&c, two_parts, NULL, "twin");
	/* A function of name, version and partition, not of the tree; the salt changes all of them. */
	assert_memory_equal(a.plan.disks[0].table.guid, b.plan.disks[0].table.guid, 16);
	assert_memory_equal(a.plan.disks[0].fs[1].fs.opts.uuid, b.plan.disks[0].fs[1].fs.opts.uuid, 16);
	assert_memory_not_equal(a.plan.disks[0].table.guid, c.plan.disks[0].table.guid, 16);
	assert_memory_not_equal(a.plan.disks[0].fs[1].fs.opts.uuid, c.plan.disks[0].fs[1].fs.opts.uuid, 16);
	assert_memory_not_equal(a.plan.disks[0].fs[0].fs.opts.uuid, a.plan.disks[0].fs[1].fs.opts.uuid, 16);
	assert_memory_not_equal(a.plan.disks[0].fs[0].fs.opts.uuid, a.plan.disks[0].table.parts[1].uuid, 16);
	done(&a);
	done(&b);
	done(&c);
}

static void test_too_small(void **state)
{
	(void)state;
	bad(PARTS "      - {name: root, type: root, filesystem: ext4, mount: /, size: 16M}\n", add_40_mib,
		"t.yaml:9:68: partition 'root': ");
	bad(HEAD "disks:\n  - {device: /dev/xvda, size: 1G, table: gpt, partitions: [\n"
		 "      {name: a, type: linux, size: 600M}, {name: b, type: linux, size: 600M},\n"
		 "      {name: r, type: root, filesystem: ext4, mount: /, size: rest}]}\n",
		NULL, "t.yaml:6:31: ");
}

static void add_link(struct tree *t)
{
	struct error err;

	assert_int_equal(tree_edit_symlink(t, "/srv", "/", (struct tree_edit_owner){0, 0}, 0, &err), 0);
}

static void add_file_at_mount(struct tree *t)
{
	write_file(t, "/srv", "x", 1);
}

static void add_many_xattrs(struct tree *t)
{
	static const char value[1000];
	struct error err;
	tree_node node;

	write_file(t, "/x", "x", 1);
	assert_int_equal(tree_lookup(t, "/x", false, &node, &err), 0);
	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user.%d", i);
		assert_int_equal(tree_set_xattr(t, node, name, value, sizeof(value), &err), 0);
	}
}

/* What a file system cannot hold has a line, whatever the partition's size goes by. */
static void test_contents(void **state)
{
	(void)state;
	bad(PARTS "      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}\n", add_many_xattrs,
		"t.yaml:9:46: partition 'root': '/x': extended attributes take more than");
	bad(PARTS "      - {name: root, type: root, filesystem: ext4, mount: /, size: 64M}\n", add_many_xattrs,
		"'/x': extended attributes take more than");
	bad(HEAD "disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\n", add_many_xattrs,
		"t.yaml:5:41: disk '/dev/xvda': ");
}

static void test_mount_points(void **state)
{
	static const char srv[] = PARTS
		"      - {name: srv, type: srv, filesystem: ext4, mount: /srv, size: 64M}\n"
		"      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}\n";
	static const char below[] = PARTS
		"      - {name: srv, type: srv, filesystem: ext4, mount: /srv/x, size: 64M}\n"
		"      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}\n";

	(void)state;
	bad(srv, add_link, "t.yaml:9:57: mount point '/srv': it is no directory of its own");
	bad(srv, add_file_at_mount, "t.yaml:9:57: mount point '/srv': it is no directory of its own");
	bad(below, add_file_at_mount, "t.yaml:9:57: mount point '/srv/x': ");
}

static void add_repart(struct tree *t)
{
	write_file(t, "/usr/bin/systemd-repart", "x", 1);
}

/* A partition's name leads to no other folder and adds nothing to the definition. */
static void test_grow_definition(void **state)
{
	static const char head[] = PARTS "      - {name: ", tail[] = ", type: root, filesystem: ext4, "
		"mount: /, size: rest, grow: true}\n";
	static const char *const names[] = {"root", "../../../etc/passwd", "50%u"};
	static const char *const paths[] = {"/usr/lib/repart.d/50-root.conf", "/usr/lib/repart.d/50-grow.conf",
		"/usr/lib/repart.d/50-grow.conf"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CLEANUP_FREE char *spec = buf_strf(NULL, "%s%s%s", head, names[i], tail);
		struct planned p;
		tree_node node;

		good(&p, spec, add_repart);
		assert_int_equal(tree_lookup(p.tree, paths[i], false, &node, &p.err), 0);
		assert_true(node != TREE_NONE);
		assert_int_equal(tree_lookup(p.tree, "/usr/lib/etc/passwd.conf", false, &node, &p.err), 0);
		assert_true(node == TREE_NONE);
		done(&p);
	}
}

static const char volumes[] = HEAD
	"disks:\n"
	"  - {device: /dev/xvda, filesystem: ext4, mount: /, size: 2G,\n"
	"     ebs: {type: gp3, iops: 4000, throughput: 200, size: 3G, delete_on_termination: true}}\n"
	"  - {device: /dev/sdf, ephemeral: 3}\n"
	"  - {device: /dev/sdg, empty: true, size: 20G, ebs: {type: io2, iops: 100, encrypted: true}}\n"
	"  - {device: /dev/sdh, no_device: true}\n"
	"ami: {name: \"{name} {version}/{arch}.{epoch}\"}\n";

static void test_mapping(void **state)
{
	static const char *const ids[] = {"snap-1", "", "", ""};
	struct ec2_mapping *m;
	struct ec2_image_opts opts;
	struct planned p;

	(void)state;
	good(&p, volumes, NULL);
	assert_string_equal(p.plan.ami_name, "p 1/x86_64.1735689600");
	assert_int_equal(plan_mappings(&p.spec, ids, &m, &p.err), 0);
	assert_string_equal(m[0].snapshot, "snap-1");
	assert_int_equal(m[0].size_gib, 3);
	assert_int_equal(m[0].iops, 4000);
	assert_int_equal(m[0].encrypted, -1);
	assert_int_equal(m[0].delete_on_termination, 1);
	assert_string_equal(m[1].virtual_name, "ephemeral3");
	assert_false(m[1].ebs);
	assert_int_equal(m[2].size_gib, 20);
	assert_string_equal(m[2].snapshot, "");
	assert_int_equal(m[2].encrypted, 1);
	assert_int_equal(m[2].delete_on_termination, -1);
	assert_true(m[3].no_device);
	plan_image(&p.plan, m, NULL, 0, &opts);
	assert_string_equal(opts.root_device, "/dev/xvda");
	assert_int_equal(ec2_check_image(&opts, &p.err), 0);
	free(m);
	done(&p);
}

#define WHOLE HEAD "disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\n"

static void test_names(void **state)
{
	(void)state;
	bad(WHOLE "ami: {name: \"{nme}-1\"}\n", NULL, "t.yaml:6:13: the AMI name knows {name}, {version}");
	bad(WHOLE "ami: {name: \"{name\"}\n", NULL, "t.yaml:6:13: the AMI name knows");
	bad(WHOLE "ami: {name: a+b}\n", NULL, "t.yaml:6:13: AMI name 'a+b' has '+'");
	bad(WHOLE "ami: {name: ab}\n", NULL, "t.yaml:6:13: AMI name 'ab' has 2 characters");
	bad(WHOLE "ami: {tags: {aws:x: y}}\n", NULL, "t.yaml:6:14: tag keys that begin with 'aws:'");
	bad(HEAD "disks: [{device: /dev/hda, filesystem: ext4, mount: /}]\n", NULL,
		"t.yaml:5:18: '/dev/hda' is no device name that EC2 takes");
}

static void test_written_disk(void **state)
{
	struct partition_table table = {0};
	struct planned p;
	struct probe probe;
	struct dev *dev;

	(void)state;
	good(&p, two_parts, add_40_mib);
	dev = disk_new(p.plan.disks[0].size, NULL, &p.err);
	assert_non_null(dev);
	assert_int_equal(plan_write_disk(&p.plan, 0, dev, &p.err), 0);
	assert_int_equal(partition_read(dev, &table, &p.err), 0);
	assert_int_equal(table.nr, 4);
	assert_memory_equal(table.guid, p.plan.disks[0].table.guid, 16);
	assert_string_equal(table.parts[2].name, "root");
	partition_table_release(&table);
	assert_int_equal(dev_close(dev, &p.err), 0);
	done(&p);

	good(&p, WHOLE, NULL);
	dev = disk_new(p.plan.disks[0].size, NULL, &p.err);
	assert_non_null(dev);
	assert_int_equal(plan_write_disk(&p.plan, 0, dev, &p.err), 0);
	assert_int_equal(probe_dev(dev, &probe, &p.err), 0);
	assert_string_equal(probe.type, "ext4");
	/* What the plan says is what the file system's own superblock says. */
	assert_int_equal(probe.size, p.plan.disks[0].fs[0].sums.size);
	assert_int_equal(probe.used, p.plan.disks[0].fs[0].sums.used);
	assert_int_equal(dev_close(dev, &p.err), 0);
	done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_fstab),
		cmocka_unit_test(test_fstab_that_is_there),
		cmocka_unit_test(test_fstab_of_read_only_root),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_too_small),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_mount_points),
		cmocka_unit_test(test_grow_definition),
		cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_written_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
