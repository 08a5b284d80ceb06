/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitness: a tree that has all of it, and the same with one thing broken at a time. Cures that are
 * lines of a spec are parsed and built as such, and must make the point go away. With a tar as its
 * argument the program tells the points of that one: the integration tests look at a real Debian.
 */
#include "builder/fitness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "builder/build.h"
#include "builder/spec.h"
#include "fs/tree_edit.h"
#include "fs/tree_tar.h"
#include "tests/lib/allocfail.h"

#define VERSION "6.1.0-40-cloud-amd64"
#define MODULES "/usr/lib/modules/" VERSION
#define UNITS "/usr/lib/systemd/system/"
#define WANTS "/etc/systemd/system/multi-user.target.wants/"

static const struct tree_edit_owner root = {0, 0};

static void put(struct tree *t, const char *path, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(tree_edit_write(t, path, text, strlen(text), 0644, root, 0, &err), 0);
}

static void put_link(struct tree *t, const char *path, const char *target)
{
	struct error err = ERROR_INIT;

	assert_int_equal(tree_edit_symlink(t, path, target, root, 0, &err), 0);
}

static void drop(struct tree *t, const char *path)
{
	struct error err = ERROR_INIT;

	assert_int_equal(tree_edit_remove(t, path, false, &err), 0);
}

static void enable(struct tree *t, const char *unit)
{
	char path[200], file[200];

	snprintf(path, sizeof(path), WANTS "%s", unit);
	snprintf(file, sizeof(file), UNITS "%s", unit);
	put(t, file, "[Unit]\n");
	put_link(t, path, file);
}

/* An initrd with these modules: "nvme nvme-core". */
static void put_initrd(struct tree *t, const char *modules)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	int r = 0;

	while (*modules) {
		size_t len = strcspn(modules, " ");
		size_t at = b.len;

		r |= buf_addf(&b, &err, "070701%08x%08x%072d%08zx%08x", 1, 0100644, 0,
			strlen("usr/lib/modules/" VERSION "/kernel/") + len + 4, 0);
		r |= buf_addf(&b, &err, "usr/lib/modules/" VERSION "/kernel/%.*s.ko", (int)len, modules);
		do
			r |= buf_add_char(&b, '\0', &err);
		while ((b.len - at) % 4);
		modules += len + strspn(modules + len, " ");
	}
	r |= buf_addf(&b, &err, "070701%088d%08x%08dTRAILER!!!", 0, 11, 0);
	r |= buf_add(&b, "\0\0\0\0", 4, &err);
	r |= tree_edit_write(t, "/boot/initrd.img-" VERSION, b.data, b.len, 0644, root, 0, &err);
	assert_int_equal(r, 0);
}

static struct tree *good_tree(void)
{
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);

	assert_non_null(t);
	put_link(t, "/lib", "usr/lib");
	put_link(t, "/sbin", "usr/sbin");
	put(t, "/etc/os-release", "NAME=x\nID=debian\n");
	put(t, "/boot/vmlinuz-" VERSION, "MZ");
	put_initrd(t, "nvme nvme-core ext4 jbd2 mbcache");
	put(t, MODULES "/modules.builtin", "kernel/lib/crc16.ko\nkernel/fs/squashfs/squashfs.ko\n");
	put(t, MODULES "/modules.dep",
		"kernel/drivers/nvme/host/nvme.ko: kernel/drivers/nvme/host/nvme-core.ko\n"
		"kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko\n"
		"kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz:\n");
	put(t, MODULES "/kernel/drivers/nvme/host/nvme.ko", "x");
	put(t, MODULES "/kernel/drivers/nvme/host/nvme-core.ko", "x");
	put(t, MODULES "/kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz", "x");
	put(t, "/usr/lib/systemd/systemd", "x");
	enable(t, "systemd-networkd.service");
	enable(t, "ssh.service");
	enable(t, "cloud-init.service");
	put(t, "/usr/sbin/sshd", "x");
	put(t, "/etc/ssh/sshd_config", "# x\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n");
	put(t, "/etc/shadow", "root:*:19000:0:99999:7:::\n");
	put(t, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
	put(t, "/etc/machine-id", "");
	put(t, "/usr/bin/growpart", "x");
	put(t, "/usr/sbin/resize2fs", "x");
	put(t, "/etc/cloud/cloud.cfg", "users:\n - default\n");
	return t;
}

static const struct fitness_in usual = {.architecture = "x86_64", .root_fs = "ext4", .bootable = true,
	.grow = true, .cmdline = "console=tty0 console=ttyS0,115200n8"};

/* "name! name" with ! behind fatal ones. */
static void names_of(const struct tree *t, struct fitness_in in, struct fitness *f, struct buf *out)
{
	struct error err = ERROR_INIT;
	struct kernels k;

	buf_clear(out);
	assert_int_equal(kernels_find(t, &k, &err), 0);
	in.t = t;
	in.kernels = &k;
	if (fitness_check(&in, f, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < f->nr; i++)
		assert_int_equal(buf_addf(out, &err, "%s%s%s", i ? " " : "", f->items[i].name,
			f->items[i].level == FITNESS_FATAL ? "!" : ""), 0);
	kernels_release(&k);
}

/* All cures that are lines of root, as a spec's, into the tree. */
static void apply(struct tree *t, const struct fitness *f)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct diag diag = {0};
	struct spec spec;

	assert_int_equal(buf_add_str(&text, "name: x\nversion: \"1\"\narchitecture: x86_64\nepoch: 1\nroot:\n"
		"- mkdir: /run\n", &err), 0);
	for (size_t i = 0; i < f->nr; i++)
		if (f->items[i].cure[0] == '-')
			assert_int_equal(buf_addf(&text, &err, "%s\n", f->items[i].cure), 0);
	assert_int_equal(buf_add_str(&text, "disks:\n- {device: /dev/xvda, table: gpt, "
		"partitions: [{name: root, type: root, filesystem: ext4, mount: /, size: rest}]}\n", &err), 0);
	if (spec_parse(&spec, text.data, text.len, "cures.yaml", &diag, &err) < 0 ||
		build_layers(&spec, t, &err) < 0)
		fail_msg("%s\n%s", err.text, text.data);
	spec_release(&spec);
	diag_release(&diag);
}

/* want: the points; after: what is left when all cures of the spec's kind are applied. Takes t. */
static void check(struct tree *t, struct fitness_in in, const char *want, const char *after)
{
	CLEANUP_BUF struct buf got = BUF_INIT(0);
	struct fitness f;

	names_of(t, in, &f, &got);
	assert_string_equal(buf_str(&got), want);
	for (size_t i = 0; i < f.nr; i++)
		assert_true(f.items[i].text[0] && f.items[i].cure[0]);
	if (after)
		apply(t, &f);
	fitness_release(&f);
	if (after) {
		names_of(t, in, &f, &got);
		assert_string_equal(buf_str(&got), after);
		fitness_release(&f);
	}
	tree_free(t);
}

static void test_good(void **state)
{
	(void)state;
	check(good_tree(), usual, "", "");
}

static void test_console(void **state)
{
	struct fitness_in in = usual;
	struct tree *t;

	(void)state;
	in.cmdline = "quiet \"x\"";
	check(good_tree(), in, "serial-console", NULL);
	in.cmdline = "xconsole=ttyS0 console=tty0";
	check(good_tree(), in, "serial-console", NULL);
	in.cmdline = "console=ttyAMA0";
	check(good_tree(), in, "serial-console", NULL);
	in.architecture = "arm64";
	check(good_tree(), in, "", NULL);
	in = usual;
	in.cmdline = NULL;
	check(good_tree(), in, "serial-console", "");
	t = good_tree();
	put(t, "/etc/default/grub", "#console=ttyS0\nGRUB_CMDLINE_LINUX=\"quiet\"\n");
	check(t, in, "serial-console", "");
	t = good_tree();
	put(t, "/etc/default/grub", "GRUB_CMDLINE_LINUX=\"console=ttyS0\"\n");
	check(t, in, "", "");
}

static void test_drivers(void **state)
{
	struct fitness_in in = usual;
	struct tree *t = good_tree();

	(void)state;
	drop(t, "/boot/vmlinuz-*");
	check(t, usual, "kernel!", NULL);
	t = good_tree();
	put_initrd(t, "ext4 jbd2 mbcache");
	check(t, usual, "nvme!", NULL);
	t = good_tree();
	put_initrd(t, "nvme ext4 jbd2 mbcache"); /* without nvme-core */
	check(t, usual, "nvme!", NULL);
	t = good_tree();
	put_initrd(t, "nvme nvme-core");
	check(t, usual, "root-file-system!", NULL);
	in.root_fs = "squashfs"; /* built in */
	in.grow = false;
	t = good_tree();
	put_initrd(t, "nvme nvme-core");
	check(t, in, "", NULL);
	in.root_fs = "xfs";
	check(good_tree(), in, "root-file-system!", NULL);
	in.root_fs = "ext3";
	check(good_tree(), in, "", NULL);
	t = good_tree();
	drop(t, MODULES "/kernel/drivers/net");
	check(t, usual, "ena!", NULL);
	t = good_tree();
	drop(t, "/boot/initrd.img-*");
	check(t, usual, "nvme! root-file-system!", NULL);
	put(t = good_tree(), MODULES "/modules.builtin",
		"kernel/drivers/nvme/host/nvme.ko\nkernel/fs/ext4/ext4.ko\n");
	drop(t, "/boot/initrd.img-*");
	check(t, usual, "", NULL);
	t = good_tree();
	drop(t, MODULES "/modules.dep");
	check(t, usual, "modules-dep", NULL);
}

static void test_kernel_without_modules(void **state)
{
	struct tree *t = good_tree();

	(void)state;
	drop(t, MODULES);
	check(t, usual, "modules", NULL);
	t = good_tree();
	drop(t, MODULES);
	drop(t, "/boot/initrd.img-*");
	put(t, "/boot/config-" VERSION, "CONFIG_BLK_DEV_NVME=y\nCONFIG_ENA_ETHERNET=y\nCONFIG_EXT4_FS=y\n");
	check(t, usual, "", NULL);
	t = good_tree();
	drop(t, MODULES);
	drop(t, "/boot/initrd.img-*");
	put(t, "/boot/config-" VERSION, "CONFIG_BLK_DEV_NVME=m\n# CONFIG_ENA_ETHERNET is not set\nCONFIG_EXT4_FS=y\n");
	check(t, usual, "ena! nvme!", NULL);
}

static void test_old_kernel_and_damage(void **state)
{
	struct tree *t = good_tree();
	struct error err = ERROR_INIT;

	(void)state;
	put(t, "/boot/vmlinuz-6.1.0-9-cloud-amd64", "MZ");
	put(t, "/boot/initrd.img-6.1.0-9-cloud-amd64", "nonsense");
	put(t, "/usr/lib/modules/6.1.0-9-cloud-amd64/modules.builtin", "");
	check(t, usual, "ena initrd", NULL);
	t = good_tree();
	put(t, "/boot/initrd.img-" VERSION, "nonsense");
	check(t, usual, "initrd!", NULL);
	t = good_tree();
	assert_int_equal(tree_edit_write(t, "/boot/initrd.img-" VERSION, "\x89LZO\0\r\n\x1a\n", 9, 0644,
		root, 0, &err), 0);
	check(t, usual, "initrd", NULL);
}

static void test_verity(void **state)
{
	struct fitness_in in = usual;
	struct tree *t = good_tree();

	(void)state;
	in.verity = true;
	in.root_fs = "squashfs";
	check(t, in, "dm-verity! overlay verity-program", NULL);
	in.cmdline = "console=ttyS0 systemd.volatile=overlay";
	check(good_tree(), in, "dm-verity! overlay! verity-program", NULL);
	t = good_tree();
	put_initrd(t, "nvme nvme-core dm-verity ../../../../../x/veritysetup");
	check(t, in, "overlay! verity-program", NULL);
}

static void test_network(void **state)
{
	struct tree *t = good_tree();
	struct fitness_in in = usual;

	(void)state;
	drop(t, WANTS "systemd-networkd.service");
	check(t, usual, "dhcp", "");
	t = good_tree();
	put(t, "/etc/cloud/cloud.cfg.d/net.cfg", "network: {config: disabled}\n");
	check(t, usual, "dhcp", "");
	t = good_tree();
	put(t, "/etc/cloud/cloud.cfg.d/net.cfg", "network:\n  config: disabled\n");
	put(t, "/usr/lib/systemd/network/80-container-host0.network",
		"[Match]\nVirtualization=container\nName=host0\n[Network]\nDHCP=yes\n");
	put(t, "/etc/systemd/network/a.network", "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n");
	check(t, usual, "interface-name", NULL);
	t = good_tree();
	drop(t, WANTS "cloud-init.service");
	drop(t, UNITS "cloud-init.service");
	drop(t, WANTS "systemd-networkd.service");
	put(t, "/home/admin/.ssh/authorized_keys", "ssh-ed25519 AAAA x\n");
	in.grow = false;
	check(t, in, "dhcp ssh-host-key-maker", "");
	t = good_tree();
	put(t, "/etc/cloud/cloud-init.disabled", "");
	put(t, "/etc/systemd/network/a.network", "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n");
	in.cmdline = "console=ttyS0 net.ifnames=0";
	check(t, in, "ssh-host-key-maker ssh-key", "");
	t = good_tree();
	put_link(t, "/etc/systemd/system/systemd-networkd.service", "/dev/null");
	enable(t, "NetworkManager.service");
	check(t, usual, "", NULL);
}

static void test_networks_without_cloud_init(void **state)
{
	static const struct {
		const char *path, *text, *want;
	} files[] = {
		{"/etc/systemd/network/a.network", "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n", ""},
		{"/usr/lib/systemd/network/a.network", "[Match]\nDriver=ena ixgbevf vif\n[Network]\nDHCP=yes\n", ""},
		{"/etc/systemd/network/a.network", "[Match]\nType=ether\nKind=!*\n[Network]\nDHCP=yes\n", ""},
		{"/etc/systemd/network/a.network", "[Network]\nDHCP=yes\n", ""},
		{"/etc/systemd/network/a.network", "[Match]\nName=en*\n[Network]\nDHCP=no\n", "dhcp"},
		{"/etc/systemd/network/a.network", "[Match]\nName=!e*\n[Network]\nDHCP=yes\n", "dhcp"},
		{"/etc/systemd/network/a.network", "[Match]\nMACAddress=1:2:3:4:5:6\n[Network]\nDHCP=yes\n", "dhcp"},
		{"/etc/systemd/network/a.network", "[Match]\nType=wlan\n[Network]\nDHCP=yes\n", "dhcp"},
		{"/etc/network/interfaces", "auto ens5\niface ens5 inet dhcp\n", ""},
		{"/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n", "interface-name"},
		{"/etc/network/interfaces", "auto lo\niface lo inet loopback\n", "dhcp"},
		{"/etc/network/interfaces", "iface ens5 inet static\n", "dhcp"},
		{"/etc/netplan/a.yaml", "network: {ethernets: {ens5: {dhcp4: true}}}\n", ""},
		{"/etc/netplan/a.yaml", "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n", "interface-name"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct fitness_in in = usual;
		struct tree *t = good_tree();

		drop(t, WANTS "cloud-init.service");
		put(t, "/usr/lib/systemd/system/sshd-keygen@.service", "x");
		put(t, "/usr/lib/systemd/system-generators/netplan", "x");
		put(t, "/home/a/.ssh/authorized_keys", "key");
		enable(t, "networking.service");
		put(t, files[i].path, files[i].text);
		in.grow = false;
		check(t, in, files[i].want, NULL);
	}
}

static void test_identity(void **state)
{
	struct fitness_in in = usual;
	struct tree *t = good_tree();

	(void)state;
	put(t, "/etc/ssh/ssh_host_rsa_key", "secret");
	put(t, "/etc/ssh/ssh_host_rsa_key.pub", "x");
	put(t, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	put(t, "/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n");
	put(t, "/var/lib/systemd/random-seed", "seed");
	put(t, "/var/lib/systemd/credential.secret", "s");
	put(t, "/root/.ssh/authorized_keys", "ssh-ed25519 AAAA x\n");
	put(t, "/root/.bash_history", "ls\n");
	in.bootable = false;
	check(t, in, "ssh-host-keys machine-id dbus-machine-id random-seed credential-secret "
		     "root-authorized-keys shell-history", "");
	t = good_tree();
	put(t, "/etc/machine-id", "uninitialized\n");
	put_link(t, "/var/lib/dbus/machine-id", "/etc/machine-id");
	check(t, usual, "", "");
}

static void test_access(void **state)
{
	struct tree *t = good_tree();

	(void)state;
	drop(t, WANTS "ssh.service");
	check(t, usual, "ssh-server", "");
	t = good_tree();
	drop(t, UNITS "ssh.service");
	check(t, usual, "ssh-server", NULL);
	t = good_tree();
	put(t, "/etc/cloud/cloud.cfg.d/99.cfg", "datasource_list: [NoCloud,\n  None]\n");
	check(t, usual, "cloud-init-datasource", "");
	t = good_tree();
	put(t, "/etc/cloud/cloud.cfg.d/10.cfg", "datasource_list: [NoCloud]\n");
	put(t, "/etc/cloud/cloud.cfg.d/90.cfg", "datasource_list:\n- NoCloud\n- Ec2\n");
	check(t, usual, "", "");
	t = good_tree();
	drop(t, WANTS "cloud-init.service");
	put(t, UNITS "cloud-init-local.service", "x");
	put(t, UNITS "cloud-config.service", "x");
	put(t, UNITS "cloud-final.service", "x");
	check(t, usual, "dhcp ssh-host-key-maker ssh-key grow", "");
	t = good_tree();
	put(t, "/etc/shadow", "root:$y$j9T$abc:19000:0:99999:7:::\n");
	check(t, usual, "", NULL);
	t = good_tree();
	put(t, "/etc/shadow", "root:$y$j9T$abc:19000:0:99999:7:::\n");
	put(t, "/etc/ssh/sshd_config.d/50-cloud.conf", "PermitRootLogin yes\n");
	check(t, usual, "root-password", "");
	t = good_tree();
	put(t, "/etc/shadow", "daemon:*:1::::::\nroot::19000:0:99999:7:::\n");
	check(t, usual, "root-password", NULL);
}

static void test_growth(void **state)
{
	struct fitness_in in = usual;
	struct tree *t = good_tree();

	(void)state;
	drop(t, "/usr/bin/growpart");
	drop(t, "/usr/sbin/resize2fs");
	check(t, usual, "grow grow", NULL);
	t = good_tree();
	drop(t, "/usr/bin/growpart");
	put(t, "/usr/bin/systemd-repart", "x");
	put(t, "/etc/repart.d/root.conf", "[Partition]\nType=root\n");
	put(t, "/etc/fstab", "UUID=1 / ext4 defaults,x-systemd.growfs 0 1\n");
	check(t, usual, "", NULL);
	in.grow = false;
	t = good_tree();
	drop(t, "/usr/bin/growpart");
	check(t, in, "", NULL);
}

static void test_text_and_json(void **state)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	CLEANUP_BUF struct buf names = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct tree *t = good_tree();
	struct fitness_in in = usual;
	struct fitness f;
	struct json *j;

	(void)state;
	drop(t, MODULES "/kernel/drivers/net");
	in.cmdline = "a=\"b\"";
	names_of(t, in, &f, &names);
	assert_int_equal(f.nr, 2);
	assert_int_equal(f.items[1].level, FITNESS_FATAL);
	assert_int_equal(fitness_text(&f.items[0], &text, &err), 0);
	assert_string_equal(text.data, "serial-console: the kernel's command line has no console=ttyS0: nothing "
		"of the boot is seen by EC2's get-console-output or serial console; cure: boot: {cmdline: "
		"\"a=\\\"b\\\" console=tty0 console=ttyS0,115200n8\"}");
	j = fitness_json(&f, &err);
	assert_non_null(j);
	assert_string_equal(json_get_str(json_at(j, 1), "level", ""), "fatal");
	assert_string_equal(json_get_str(json_at(j, 1), "name", ""), "ena");
	assert_string_equal(json_get_str(json_at(j, 1), "cure", ""), "add the package 'linux-image-cloud-amd64'");
	json_free(j);
	fitness_release(&f);
	tree_free(t);
}

static struct tree *torture_tree;
static struct kernels torture_kernels;

static int torture(struct error *err)
{
	struct fitness_in in = usual;
	struct fitness f;
	int r;

	in.t = torture_tree;
	in.kernels = &torture_kernels;
	in.cmdline = NULL;
	r = fitness_check(&in, &f, err);
	fitness_release(&f);
	return r;
}

static void test_out_of_memory(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	torture_tree = good_tree();
	put(torture_tree, "/etc/default/grub.d/x.cfg", "GRUB=1\n");
	put(torture_tree, "/etc/ssh/ssh_host_x_key", "GRUB=1\n");
	drop(torture_tree, WANTS "cloud-init.service");
	assert_int_equal(kernels_find(torture_tree, &torture_kernels, &err), 0);
	assert_true(allocfail_torture(torture));
	kernels_release(&torture_kernels);
	tree_free(torture_tree);
}

/* TAR CMDLINE FILESYSTEM */
static int tell(char **argv)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct tree *t = tree_new(NULL, &err);
	struct fitness_in in = usual;
	struct fitness f = {NULL, 0};
	struct kernels k = {NULL, 0};
	int r = t ? tree_tar_add(t, argv[1], NULL, &err) : -1;

	if (r == 0)
		r = tree_finish(t, INT64_MAX, &err);
	if (r == 0)
		r = kernels_find(t, &k, &err);
	in.t = t;
	in.kernels = &k;
	in.cmdline = argv[2] && argv[2][0] ? argv[2] : NULL;
	in.root_fs = argv[2] && argv[3] ? argv[3] : "ext4";
	if (r == 0)
		r = fitness_check(&in, &f, &err);
	for (size_t i = 0; r == 0 && i < f.nr; i++) {
		buf_clear(&text);
		r = fitness_text(&f.items[i], &text, &err);
		printf("%s%s\n", f.items[i].level == FITNESS_FATAL ? "fatal " : "", buf_str(&text));
	}
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	return r < 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_drivers),
		cmocka_unit_test(test_kernel_without_modules),
		cmocka_unit_test(test_old_kernel_and_damage),
		cmocka_unit_test(test_verity),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_networks_without_cloud_init),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_text_and_json),
		cmocka_unit_test(test_out_of_memory),
	};

	if (argc > 1)
		return tell(argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
