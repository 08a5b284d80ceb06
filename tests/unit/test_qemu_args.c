/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's command line: what must be in it, and that no value can become an option. */
#include "builder/qemu_args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

static const struct qemu_disk disks[] = {
	{"/tmp/a,b", "qcow2", "vol1"}, {"/tmp/c", "raw", "vol2"},
};

static struct qemu_machine machine(void)
{
	return (struct qemu_machine){
		.memory = GIB, .processors = 2, .disks = disks, .nr_disks = 2,
		.mac = "02:00:00:00:00:01", .hostname = "ip-1", .self = "/proc/7/exe",
		.uuid = "ec2e1916-9099-7caf-fd21-012345abcdef", .instance_type = "m5,large",
		.instance_id = "i-1",
	};
}

static void args(const struct qemu_machine *m, struct qemu_argv *argv)
{
	struct error err = ERROR_INIT;

	*argv = (struct qemu_argv){0};
	assert_int_equal(qemu_args(m, argv, &err), 0);
	assert_null(argv->items[argv->nr]);
}

/* Whether the option is there with exactly this value; nth is its position among its like. */
static bool has(const struct qemu_argv *argv, const char *option, const char *value)
{
	for (size_t i = 0; i + 1 < argv->nr; i++)
		if (!strcmp(argv->items[i], option) && !strcmp(argv->items[i + 1], value))
			return true;
	return false;
}

static const char *value_of(const struct qemu_argv *argv, const char *option)
{
	for (size_t i = 0; i + 1 < argv->nr; i++)
		if (!strcmp(argv->items[i], option))
			return argv->items[i + 1];
	return NULL;
}

static void test_bios(void **state)
{
	struct qemu_machine m = machine();
	struct qemu_argv argv;

	(void)state;
	args(&m, &argv);
	assert_string_equal(argv.items[0], "qemu-system-x86_64");
	assert_true(has(&argv, "-machine", "q35"));
	assert_true(has(&argv, "-accel", "tcg,thread=multi"));
	assert_true(has(&argv, "-cpu", "max"));
	assert_true(has(&argv, "-m", "1024M"));
	assert_true(has(&argv, "-smp", "2"));
	assert_true(has(&argv, "-smbios", "type=1,manufacturer=Amazon EC2,product=m5,,large,"
					  "serial=ec2e1916-9099-7caf-fd21-012345abcdef,"
					  "uuid=ec2e1916-9099-7caf-fd21-012345abcdef"));
	assert_true(has(&argv, "-smbios", "type=2,manufacturer=Amazon EC2,asset=i-1"));
	assert_true(has(&argv, "-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2"));
	assert_true(has(&argv, "-device", "nvme,drive=disk0,serial=vol1,bootindex=1"));
	assert_true(has(&argv, "-device", "nvme,drive=disk1,serial=vol2,bootindex=2"));
	assert_non_null(strstr(value_of(&argv, "-blockdev"), "driver=qcow2,"));
	assert_non_null(strstr(value_of(&argv, "-blockdev"), "file.filename=/tmp/a,,b"));
	assert_null(value_of(&argv, "-drive"));
	assert_null(value_of(&argv, "-kernel"));
	assert_null(strstr(value_of(&argv, "-netdev"), "hostfwd"));
	assert_null(strstr(value_of(&argv, "-netdev"), "guestfwd"));
	qemu_argv_release(&argv);
}

static void test_uefi_and_arm(void **state)
{
	struct qemu_machine m = machine();
	struct qemu_argv argv;

	(void)state;
	m.firmware = QEMU_UEFI;
	m.code = "/fw/code";
	m.vars = "/tmp/va,rs";
	m.kvm = true;
	args(&m, &argv);
	assert_true(has(&argv, "-accel", "kvm"));
	assert_true(has(&argv, "-cpu", "host"));
	assert_true(has(&argv, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/fw/code"));
	assert_true(has(&argv, "-drive", "if=pflash,unit=1,format=raw,file=/tmp/va,,rs"));
	qemu_argv_release(&argv);
	m.architecture = QEMU_ARM64;
	m.kvm = false;
	args(&m, &argv);
	assert_string_equal(argv.items[0], "qemu-system-aarch64");
	assert_true(has(&argv, "-machine", "virt,gic-version=max"));
	assert_true(has(&argv, "-cpu", "neoverse-n1"));
	assert_true(has(&argv, "-device", "pci-serial,chardev=console"));
	qemu_argv_release(&argv);
}

static void test_network(void **state)
{
	struct qemu_machine m = machine();
	struct qemu_argv argv;

	(void)state;
	m.ssh_port = 2222;
	m.imds_folder = "/tmp/it's, a $(folder)";
	args(&m, &argv);
	assert_string_equal(value_of(&argv, "-netdev"),
		"user,id=net,ipv6=off,net=169.254.0.0/16,host=169.254.0.2,dns=169.254.0.3,"
		"dhcpstart=169.254.0.15,hostname=ip-1,hostfwd=tcp:127.0.0.1:2222-:22,"
		"guestfwd=tcp:169.254.169.254:80-cmd:'/proc/7/exe' imds-bridge -- "
		"'/tmp/it'\\''s,, a $(folder)'");
	qemu_argv_release(&argv);
}

static void test_kernel(void **state)
{
	struct qemu_machine m = machine();
	struct qemu_argv argv;

	(void)state;
	m.kernel = "vmlinuz";
	m.initrd = "a,b";
	m.append = "-root=/dev/nvme0n1p1, ro";
	args(&m, &argv);
	assert_true(has(&argv, "-kernel", "vmlinuz"));
	assert_true(has(&argv, "-initrd", "a,b"));
	assert_true(has(&argv, "-append", "-root=/dev/nvme0n1p1, ro"));
	qemu_argv_release(&argv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bios), cmocka_unit_test(test_uefi_and_arm), cmocka_unit_test(test_network),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
