/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `amiwright boot`: an image, a spec or an AMI in QEMU, as EC2 would run it.
 */
#include "builder/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/num.h"
#include "base/tempdir.h"
#include "builder/boot_machine.h"
#include "builder/boot_port.h"
#include "builder/boot_run.h"
#include "builder/boot_source.h"
#include "builder/command_tags.h"

struct boot_options {
	const char *firmware, *architecture, *accel, *ssh, *ssh_key, *user_data, *instance_type;
	const char *console, *expect, *kernel, *initrd, *append, *spool_dir;
	struct options_list disks, tags;
	uint64_t memory, disk_size, timeout;
};

#define FIELD(field) offsetof(struct boot_options, field)

enum { EXPECT_TIMEOUT_S = 600, KEY_MAX = 16 << 10 };

static const char *const firmwares[] = {"bios", "uefi", NULL};
static const char *const architectures[] = {"x86_64", "arm64", NULL};
static const char *const accelerators[] = {"auto", "kvm", "tcg", NULL};

static const struct options_def options[] = {
	{"firmware", 0, OPTIONS_CHOICE, FIELD(firmware), "FIRMWARE",
		"bios or uefi (default: by the AMI's, spec's or manifest's boot mode, else uefi when there "
		"is an EFI system partition)", 0, 0, firmwares},
	{"architecture", 0, OPTIONS_CHOICE, FIELD(architecture), "ARCH",
		"x86_64 or arm64 (default: what the image is for)", 0, 0, architectures},
	{"accel", 0, OPTIONS_CHOICE, FIELD(accel), "HOW",
		"kvm, tcg (emulation), or auto: KVM when a trial shows that it works (default)", 0, 0,
		accelerators},
	{"memory", 0, OPTIONS_SIZE, FIELD(memory), "SIZE", "the machine's memory (default: 1G)", 0, 0,
		NULL},
	{"disk", 0, OPTIONS_LIST, FIELD(disks), "FILE",
		"a further image as volume, beside an image file; may be given many times", 0, 0, NULL},
	{"disk-size", 0, OPTIONS_SIZE, FIELD(disk_size), "SIZE",
		"size of the root volume, when it is to be larger than the image", 0, 0, NULL},
	{"ssh", 0, OPTIONS_TEXT, FIELD(ssh), "PORT",
		"forward this port of 127.0.0.1 to the guest's port 22; 0: a free one, which is said", 0, 0,
		NULL},
	{"ssh-key", 0, OPTIONS_TEXT, FIELD(ssh_key), "FILE",
		"public key that the metadata service gives", 0, 0, NULL},
	{"user-data", 0, OPTIONS_TEXT, FIELD(user_data), "FILE",
		"user data that the metadata service gives", 0, 0, NULL},
	{"instance-type", 0, OPTIONS_TEXT, FIELD(instance_type), "TYPE",
		"what the machine says it is (default: m5.large, m6g.large)", 0, 0, NULL},
	{"tag", 0, OPTIONS_LIST, FIELD(tags), "KEY=VALUE",
		"an instance tag in the metadata; may be given many times", 0, 0, NULL},
	{"console", 0, OPTIONS_TEXT, FIELD(console), "FILE",
		"write the serial console to a file (default: to standard output)", 0, 0, NULL},
	{"expect", 0, OPTIONS_TEXT, FIELD(expect), "REGEX",
		"end with success when a line of the console matches this extended regular expression", 0, 0,
		NULL},
	{"timeout", 0, OPTIONS_NUMBER, FIELD(timeout), "SECONDS",
		"end with failure after this time (default: 600 with --expect, else none)", 1, 604800, NULL},
	{"kernel", 0, OPTIONS_TEXT, FIELD(kernel), "FILE",
		"boot this kernel instead of what the disk has", 0, 0, NULL},
	{"initrd", 0, OPTIONS_TEXT, FIELD(initrd), "FILE", "initrd for --kernel", 0, 0, NULL},
	{"append", 0, OPTIONS_TEXT, FIELD(append), "TEXT", "command line for --kernel", 0, 0, NULL},
	{"spool-dir", 0, OPTIONS_FOLDER, FIELD(spool_dir), "DIR",
		"folder for temporary data: what the guest writes, built and downloaded disks (default: "
		"TMPDIR or /var/tmp)", 0, 0, NULL},
	{0},
};

/* One run of the command. */
struct run {
	struct context *ctx;
	const struct boot_options *opts;
	char *folder; /* temporary */
	struct command_tags tags;
	struct buf key, user_data;
	struct boot_source source;
	struct boot_console console;
	struct boot_machine machine;
	uint16_t ssh_port; /* 0: none */
	int ssh_held;      /* keeps it ours; -1: none */
	int out;           /* console; -1: standard output */
};

static int read_key(struct run *r, struct error *err)
{
	const char *path = r->opts->ssh_key;
	const char *text;

	buf_init(&r->key, KEY_MAX);
	if (!path)
		return 0;
	if (file_read(path, &r->key, err) < 0)
		return -1;
	while (r->key.len && strchr(" \r\n", r->key.data[r->key.len - 1]))
		buf_truncate(&r->key, r->key.len - 1);
	text = buf_str(&r->key);
	if (strstr(text, "PRIVATE KEY"))
		return error_set(err, ERROR_USAGE, 0,
			"--ssh-key: '%s' is a private key; the public one (often '%s.pub') is right",
			path, path);
	if (strlen(text) != r->key.len || strpbrk(text, "\r\n") || !strchr(text, ' ') ||
		(strncmp(text, "ssh-", 4) && strncmp(text, "ecdsa-", 6) && strncmp(text, "sk-", 3)))
		return error_set(err, ERROR_USAGE, 0,
			"--ssh-key: '%s' is not one public key in OpenSSH's form ('ssh-ed25519 AAAA…')",
			path);
	return buf_add_char(&r->key, '\n', err);
}

static int read_user_data(struct run *r, struct error *err)
{
	buf_init(&r->user_data, IMDS_USER_DATA_MAX);
	if (r->opts->user_data && file_read(r->opts->user_data, &r->user_data, err) < 0) {
		if (err->kind == ERROR_INPUT)
			error_wrap(err, "--user-data (EC2 takes at most 16 KiB)");
		return -1;
	}
	return 0;
}

static int check_tags(struct run *r, struct error *err)
{
	if (command_tags_parse(&r->tags, NULL, &r->opts->tags, err) < 0)
		return -1;
	for (size_t i = 0; i < r->tags.nr; i++)
		if (imds_check_tag(r->tags.items[i].key, err) < 0)
			return -1;
	return 0;
}

static int check_file(const char *option, const char *path, struct error *err)
{
	if (path && access(path, R_OK) < 0)
		return error_set(err, ERROR_IO, errno, "%s: cannot read '%s'", option, path);
	return 0;
}

static int check_options(const struct run *r, struct error *err)
{
	const struct boot_options *o = r->opts;

	if ((o->initrd || o->append) && !o->kernel)
		return error_set(err, ERROR_USAGE, 0, "--%s goes with --kernel",
			o->initrd ? "initrd" : "append");
	if (r->ctx->opts.json && !o->console)
		return error_set(err, ERROR_USAGE, 0,
			"--json needs --console FILE: standard output has the console without it");
	if (o->memory && (o->memory < 128 * MIB || o->memory % MIB))
		return error_set(err, ERROR_USAGE, 0, "--memory: whole MiB and at least 128M are right");
	if (o->disk_size % 512)
		return error_set(err, ERROR_USAGE, 0, "--disk-size: a disk has whole sectors of 512 bytes");
	if (check_file("--kernel", o->kernel, err) < 0 || check_file("--initrd", o->initrd, err) < 0)
		return -1;
	return 0;
}

/* What the options say by themselves. */
static int check(struct run *r, struct error *err)
{
	if (check_options(r, err) < 0 || boot_console_init(&r->console, r->opts->expect, err) < 0 ||
		check_tags(r, err) < 0 || read_key(r, err) < 0 || read_user_data(r, err) < 0)
		return -1;
	return !r->opts->ssh ? 0 : boot_port_hold(r->opts->ssh, &r->ssh_port, &r->ssh_held, err);
}

/* The console's file is emptied: it must be none that is read. */
static int check_console(const struct run *r, struct files *files, struct error *err)
{
	const struct boot_options *o = r->opts;

	if (files_read(files, o->kernel, "the kernel", err) < 0 ||
		files_read(files, o->initrd, "the initrd", err) < 0 ||
		files_read(files, o->ssh_key, "the public key", err) < 0 ||
		files_read(files, o->user_data, "the user data", err) < 0)
		return -1;
	return !o->console ? 0 :
		files_make(files, o->console, "the console", FILES_OPENED, "--console", err);
}

/* The source's files, and with them the console. */
static int look(struct run *r, const char *what, const struct boot_source_opts *opts, struct error *err)
{
	struct files files = {0};
	int ret = boot_source_look(&r->source, r->ctx, what, opts, &files, err);

	if (!ret)
		ret = check_console(r, &files, err);
	files_release(&files);
	return ret;
}

static const char *region(const struct run *r)
{
	if (r->ctx->aws)
		return aws_region(r->ctx->aws);
	return r->ctx->opts.region ? r->ctx->opts.region : "us-east-1";
}

static int start(struct run *r, struct error *err)
{
	const struct boot_machine_opts opts = {
		.source = &r->source,
		.folder = r->folder,
		.region = region(r),
		.instance_type = r->opts->instance_type,
		.kernel = r->opts->kernel,
		.initrd = r->opts->initrd,
		.append = r->opts->append,
		.memory = r->opts->memory,
		.ssh_port = r->ssh_port,
		.public_key = r->key.len ? buf_str(&r->key) : NULL,
		.user_data = r->opts->user_data ? buf_str(&r->user_data) : NULL,
		.user_data_len = r->user_data.len,
		.tags = r->tags.items,
		.nr_tags = r->tags.nr,
	};

	return boot_machine_start(&r->machine, &opts, err);
}

/* Printed as soon as the machine runs, for those who want to get in. */
static int print_result(struct run *r, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	const char *firmware = r->source.firmware == QEMU_UEFI ? "uefi" : "bios";

	log_info("%s, %s, %s", qemu_architecture_name(r->source.architecture), firmware,
		r->machine.instance);
	if (r->ssh_port)
		log_info("the guest's ssh: 127.0.0.1 port %u", r->ssh_port);
	if (!doc || !r->opts->console)
		return doc ? 0 : -1;
	if (!r->ctx->opts.json) {
		if (r->ssh_port && buf_addf(&out, err, "%u\n", r->ssh_port) < 0)
			return -1;
		return context_print(&out, err);
	}
	if (json_set_str(doc, "instance", r->machine.instance, err) < 0 ||
		json_set_str(doc, "architecture", qemu_architecture_name(r->source.architecture),
			err) < 0 ||
		json_set_str(doc, "firmware", firmware, err) < 0 ||
		json_set_str(doc, "accelerator", r->machine.kvm ? "kvm" : "tcg", err) < 0 ||
		(r->ssh_port ? json_set_int(doc, "ssh_port", r->ssh_port, err) :
			       json_set_str(doc, "ssh_port", NULL, err)) < 0)
		return -1;
	return context_print_json(doc, err);
}

/* Keys are for the guest when terminal and console are the user's and in the foreground. */
static bool has_terminal(const struct run *r)
{
	return !r->opts->console && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
	       tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static int run_machine(struct run *r, struct error *err)
{
	const struct boot_options *o = r->opts;
	struct boot_run run = {
		.qemu = &r->machine.qemu,
		.imds = r->machine.server,
		.console = &r->console,
		.out = r->out >= 0 ? r->out : STDOUT_FILENO,
		.out_name = o->console ? o->console : "standard output",
		.in = has_terminal(r) ? STDIN_FILENO : -1,
		.expect = o->expect,
		.timeout_s = o->timeout ? o->timeout : o->expect ? EXPECT_TIMEOUT_S : 0,
		.cancelled = context_cancelled,
		.now_ms = context_now_ms,
	};

	if (run.in >= 0)
		log_info("ctrl-A X ends the machine");
	return boot_run(&run, err);
}

static int open_console(struct run *r, struct error *err)
{
	const char *path = r->opts->console;

	if (!path)
		return 0;
	/* A pipe is waited for, until somebody reads it. */
	r->out = interrupt_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666, err);
	return r->out >= 0 ? 0 : -1;
}

/*
 * Disks may take minutes (layers, a download): what options, spec, image or AMI are known to lack is
 * found before they are made. A spec or an AMI that does not say how it starts may need UEFI
 * firmware as its tree or its partitions have it; that is known only in the making.
 */
static int boot(struct run *r, const char *what, struct error *err)
{
	const struct boot_options *o = r->opts;
	const char *below = o->spool_dir ? o->spool_dir : context_tmpdir(r->ctx);
	struct boot_source_opts source = {
		.spool_dir = o->spool_dir,
		.architecture = o->architecture,
		.firmware = o->firmware,
		.disk_size = o->disk_size,
		.disks = &o->disks,
		.kernel = o->kernel != NULL,
	};

	if (check(r, err) < 0 || boot_machine_name(&r->machine, err) < 0 ||
		look(r, what, &source, err) < 0)
		return -1;
	r->folder = tempdir_new(below, err);
	if (!r->folder ||
		boot_machine_choose(&r->machine, o->accel, r->source.architecture, err) < 0 ||
		boot_source_make(&r->source, r->ctx, r->folder, err) < 0 ||
		open_console(r, err) < 0 || start(r, err) < 0 || print_result(r, err) < 0)
		return -1;
	return run_machine(r, err);
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	struct run r = {.ctx = ctx, .opts = popts, .machine = BOOT_MACHINE_INIT, .out = -1,
		.ssh_held = -1};
	int ret = boot(&r, args->items[0], err);

	boot_machine_release(&r.machine);
	if (r.out >= 0)
		close(r.out);
	if (r.ssh_held >= 0)
		close(r.ssh_held);
	boot_source_release(&r.source);
	boot_console_release(&r.console);
	buf_release(&r.key);
	buf_release(&r.user_data);
	command_tags_release(&r.tags);
	tempdir_remove(r.folder);
	return ret;
}

const struct command cmd_boot = {
	.name = "boot",
	.args = "IMAGE|SPEC|AMI",
	.summary = "run it in QEMU as EC2 would",
	.description =
		"Runs an image (raw, VMDK, VHD, qcow2), what a spec builds (a file that ends in .yaml or\n"
		".yml), or an own AMI in QEMU: NVMe volumes, EC2's DMI strings, the instance metadata\n"
		"service at 169.254.169.254, KVM when it works and emulation else. The image is never\n"
		"written to. The serial console goes to standard output, and a terminal's keys to it;\n"
		"ctrl-A X ends the machine. With --console FILE the port of --ssh is printed instead.",
	.options = options,
	.options_size = sizeof(struct boot_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
