/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that `boot` runs. Its names are drawn at random, so that two of them are never taken for
 * one by software that remembers an instance id.
 */
#include "builder/boot_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/kvm.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/context.h"

enum { PROCESSORS = 2, VARS_MAX = 256 << 20 };

/* The uuid begins with "ec2", by which software knows EC2. */
int boot_machine_name(struct boot_machine *m, struct error *err)
{
	uint8_t bytes[16 + 9 + 9 + 3];
	char hex[2 * 9 + 1];

	if (context_random(bytes, sizeof(bytes)) < 0)
		return error_set(err, ERROR_IO, 0, "no randomness to be had for an instance id");
	bytes[0] = 0xec;
	bytes[1] = 0x20 | (bytes[1] & 0x0f);
	uuid_format(m->uuid, bytes);
	snprintf(m->instance, sizeof(m->instance), "i-%.17s", hex_encode(hex, bytes + 16, 9));
	snprintf(m->ami, sizeof(m->ami), "ami-%.15s", hex_encode(hex, bytes + 25, 9));
	snprintf(m->mac, sizeof(m->mac), "02:00:00:%02x:%02x:%02x", bytes[34], bytes[35], bytes[36]);
	return 0;
}

static const char *instance_type(const struct boot_machine_opts *o)
{
	if (o->instance_type)
		return o->instance_type;
	return o->source->architecture == QEMU_ARM64 ? "m6g.large" : "m5.large";
}

static int start_imds(struct boot_machine *m, const struct boot_machine_opts *o, struct error *err)
{
	CLEANUP_FREE struct imds_disk *disks = calloc(o->source->nr + 1, sizeof(*disks));
	CLEANUP_FREE char *zone = buf_strf(err, "%sa", o->region);
	struct imds_opts opts = {
		.ami_id = o->source->kind == BOOT_AMI ? o->source->what : m->ami,
		.instance_id = m->instance,
		.instance_type = instance_type(o),
		.region = o->region,
		.zone = zone,
		.architecture = qemu_architecture_name(o->source->architecture),
		.hostname = m->hostname,
		.ipv4 = QEMU_GUEST_ADDRESS,
		.network = QEMU_GUEST_NETWORK,
		.mac = m->mac,
		.public_key = o->public_key,
		.user_data = o->user_data,
		.user_data_len = o->user_data_len,
		.tags = o->tags,
		.nr_tags = o->nr_tags,
		.disks = disks,
		.nr_disks = o->source->nr + 1,
		.start_s = context_wall_s(),
	};

	if (!disks || !zone)
		return error_nomem(err, "metadata");
	if (context_random(opts.secret, sizeof(opts.secret)) < 0)
		return error_set(err, ERROR_IO, 0, "no randomness to be had for session tokens");
	/* The root volume is there under two names. */
	for (size_t i = 0; i < o->source->nr; i++)
		disks[i] = o->source->disks[i].mapping;
	disks[o->source->nr] = disks[0];
	snprintf(disks[o->source->nr].name, sizeof(disks[0].name), "root");
	m->imds = imds_new(&opts, err);
	m->server = m->imds ? imds_server_new(m->imds, o->folder, err) : NULL;
	return m->server ? 0 : -1;
}

static bool is_host(enum qemu_architecture a)
{
#if defined(__x86_64__)
	return a == QEMU_X86_64;
#elif defined(__aarch64__)
	return a == QEMU_ARM64;
#else
	(void)a;
	return false;
#endif
}

int boot_machine_choose(struct boot_machine *m, const char *wanted, enum qemu_architecture a,
	struct error *err)
{
	const char *why = "this machine's processor is of another kind";

	if (wanted && !strcmp(wanted, "tcg"))
		return 0;
	m->kvm = is_host(a) && kvm_works(&why);
	if (!m->kvm && wanted && !strcmp(wanted, "kvm"))
		return error_set(err, ERROR_INPUT, 0, "KVM does not work here: %s", why);
	if (m->kvm)
		log_info("running under KVM");
	else
		log_info("running under emulation, which is slow: KVM does not work here (%s)", why);
	return 0;
}

/* The firmware's variables are written to by the guest. */
static char *copy_vars(const char *folder, const char *from, struct error *err)
{
	CLEANUP_BUF struct buf vars = BUF_INIT(VARS_MAX);
	CLEANUP_FREE char *path = buf_strf(err, "%s/vars.fd", folder);

	if (!path || file_read(from, &vars, err) < 0 ||
		file_write_atomic(path, vars.data, vars.len, 0600, false, err) < 0)
		return NULL;
	return steal_ptr(&path);
}

static int start_qemu(struct boot_machine *m, struct qemu_machine *q, const struct boot_source *s,
	const char *folder, struct error *err)
{
	CLEANUP_FREE struct qemu_disk *disks = calloc(s->nr + 1, sizeof(*disks));
	CLEANUP_FREE char *vars = NULL;
	/* By this name it can be run also when the file was replaced meanwhile. */
	CLEANUP_FREE char *self = buf_strf(err, "/proc/%d/exe", (int)getpid());
	CLEANUP_FREE char *short_name = buf_strf(err, "%.*s", (int)strcspn(m->hostname, "."), m->hostname);
	struct qemu_argv argv = {0};
	int ret;

	if (!disks || !self || !short_name)
		return error_nomem(err, "a machine");
	for (size_t i = 0; i < s->nr; i++)
		disks[i] = (struct qemu_disk){s->disks[i].file, s->disks[i].format,
			s->disks[i].serial};
	q->disks = disks;
	q->nr_disks = s->nr;
	q->self = self;
	q->hostname = short_name;
	if (q->firmware == QEMU_UEFI) {
		q->code = s->uefi_code;
		vars = copy_vars(folder, s->uefi_vars, err);
		if (!vars)
			return -1;
		q->vars = vars;
	}
	ret = qemu_args(q, &argv, err);
	if (!ret)
		ret = qemu_start(&m->qemu, q->architecture, &argv, err);
	qemu_argv_release(&argv);
	return ret;
}

int boot_machine_start(struct boot_machine *m, const struct boot_machine_opts *o,
	struct error *err)
{
	struct qemu_machine q = {
		.architecture = o->source->architecture,
		.firmware = o->source->firmware,
		.kvm = m->kvm,
		.memory = o->memory ? o->memory : GIB,
		.processors = PROCESSORS,
		.mac = m->mac,
		.imds_folder = o->folder,
		.ssh_port = o->ssh_port,
		.kernel = o->kernel,
		.initrd = o->initrd,
		.append = o->append,
		.uuid = m->uuid,
		.instance_type = instance_type(o),
		.instance_id = m->instance,
	};
	bool elsewhere = strcmp(o->region, "us-east-1") != 0;

	snprintf(m->hostname, sizeof(m->hostname), "ip-169-254-0-15.%.40s%s",
		elsewhere ? o->region : "ec2", elsewhere ? ".compute.internal" : ".internal");
	if (start_imds(m, o, err) < 0)
		return -1;
	return start_qemu(m, &q, o->source, o->folder, err);
}

void boot_machine_release(struct boot_machine *m)
{
	qemu_release(&m->qemu);
	imds_server_free(m->server);
	imds_free(m->imds);
}
