/* SPDX-License-Identifier: Apache-2.0 */
/* Words of QEMU's command line. A comma in a value is written twice, as QEMU's parser wants it. */
#include "builder/qemu_args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"


const char *qemu_program(enum qemu_architecture a)
{
	return a == QEMU_ARM64 ? "qemu-system-aarch64" : "qemu-system-x86_64";
}

const char *qemu_package(enum qemu_architecture a)
{
	return a == QEMU_ARM64 ? "qemu-system-arm" : "qemu-system-x86";
}

const char *qemu_architecture_name(enum qemu_architecture a)
{
	return a == QEMU_ARM64 ? "arm64" : "x86_64";
}

void qemu_argv_release(struct qemu_argv *argv)
{
	for (size_t i = 0; i < argv->nr; i++)
		free(argv->items[i]);
	free(argv->items);
	*argv = (struct qemu_argv){0};
}

/* Takes word. */
static int add_word(struct qemu_argv *argv, char *word, struct error *err)
{
	char **grown = word ? reallocarray(argv->items, argv->nr + 2, sizeof(*grown)) : NULL;

	if (!grown) {
		free(word);
		return error_nomem(err, "QEMU's command line");
	}
	argv->items = grown;
	grown[argv->nr++] = word;
	grown[argv->nr] = NULL;
	return 0;
}

static int add_words(struct qemu_argv *argv, const char *const *words, size_t nr, struct error *err)
{
	for (size_t i = 0; i < nr; i++)
		if (add_word(argv, strdup(words[i]), err) < 0)
			return -1;
	return 0;
}

static int add_option(struct qemu_argv *argv, struct error *err, const char *name, const char *fmt,
	...) PRINTF_LIKE(4, 5);
static int add_option(struct qemu_argv *argv, struct error *err, const char *name, const char *fmt,
	...)
{
	char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return error_nomem(err, "QEMU's command line");
	if (add_word(argv, strdup(name), err) < 0) {
		free(text);
		return -1;
	}
	return add_word(argv, text, err);
}

/* A value inside an option. */
static char *escape(const char *text, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	for (; *text; text++)
		if (buf_add_str(&out, *text == ',' ? ",," : (char[]){*text, '\0'}, err) < 0)
			return NULL;
	return buf_steal(&out, err);
}

/* A word of the command that the network starts: glib splits it as a shell would. */
static char *quote(const char *text, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (buf_add_char(&out, '\'', err) < 0)
		return NULL;
	for (; *text; text++)
		if (buf_add_str(&out, *text == '\'' ? "'\\''" : (char[]){*text, '\0'}, err) < 0)
			return NULL;
	return buf_add_char(&out, '\'', err) < 0 ? NULL : buf_steal(&out, err);
}

/*
 * Neoverse N1 is the processor of Graviton 2; under emulation `max` would spend its time on pointer
 * authentication.
 */
static const char *processor(enum qemu_architecture a, bool kvm)
{
	if (kvm)
		return "host";
	return a == QEMU_ARM64 ? "neoverse-n1" : "max";
}

static int add_base(struct qemu_argv *argv, enum qemu_architecture a, bool kvm, struct error *err)
{
	const char *words[] = {
		qemu_program(a), "-nodefaults", "-no-user-config", "-display", "none",
		"-machine", a == QEMU_ARM64 ? "virt,gic-version=max" : "q35",
		"-accel", kvm ? "kvm" : "tcg,thread=multi",
		"-cpu", processor(a, kvm),
	};

	return add_words(argv, words, ARRAY_SIZE(words), err);
}

/* The strings are those of Nitro instances; cloud-init and others know EC2 by them. */
static int add_dmi(const struct qemu_machine *m, struct qemu_argv *argv, struct error *err)
{
	CLEANUP_FREE char *type = escape(m->instance_type, err);
	CLEANUP_FREE char *id = escape(m->instance_id, err);

	if (!type || !id)
		return -1;
	if (add_option(argv, err, "-smbios",
		    "type=0,vendor=Amazon EC2,version=1.0,date=10/16/2017") < 0 ||
		add_option(argv, err, "-smbios",
			"type=1,manufacturer=Amazon EC2,product=%s,serial=%s,uuid=%s", type,
			m->uuid, m->uuid) < 0 ||
		add_option(argv, err, "-smbios", "type=2,manufacturer=Amazon EC2,asset=%s", id) < 0)
		return -1;
	return add_option(argv, err, "-smbios", "type=3,manufacturer=Amazon EC2,asset=Amazon EC2");
}

static int add_firmware(const struct qemu_machine *m, struct qemu_argv *argv, struct error *err)
{
	CLEANUP_FREE char *code = NULL;
	CLEANUP_FREE char *vars = NULL;

	if (m->firmware != QEMU_UEFI)
		return 0;
	code = escape(m->code, err);
	vars = escape(m->vars, err);
	if (!code || !vars ||
		add_option(argv, err, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=%s",
			code) < 0)
		return -1;
	return add_option(argv, err, "-drive", "if=pflash,unit=1,format=raw,file=%s", vars);
}

/*
 * Instances on Graviton have a PCI serial port as ttyS0. QEMU's machine has a PL011 that firmware
 * and boot loaders write to. Both come out at the console.
 */
static int add_console(const struct qemu_machine *m, struct qemu_argv *argv, struct error *err)
{
	bool both = m->architecture == QEMU_ARM64;

	if (add_option(argv, err, "-chardev", "stdio,id=console,signal=off%s",
		    both ? ",mux=on" : "") < 0 ||
		add_option(argv, err, "-serial", "chardev:console") < 0)
		return -1;
	if (!both)
		return add_option(argv, err, "-vga", "std");
	/* The mux would take ctrl-A for itself. */
	if (add_option(argv, err, "-echr", "30") < 0)
		return -1;
	return add_option(argv, err, "-device", "pci-serial,chardev=console");
}

/*
 * What the guest writes lives as long as QEMU: flushing it to the host's disk would be for nothing.
 * Boot index 0 is taken by -kernel.
 */
static int add_disks(const struct qemu_machine *m, struct qemu_argv *argv, struct error *err)
{
	for (size_t i = 0; i < m->nr_disks; i++) {
		const struct qemu_disk *d = &m->disks[i];
		CLEANUP_FREE char *file = escape(d->file, err);
		CLEANUP_FREE char *serial = escape(d->serial, err);

		if (!file || !serial ||
			add_option(argv, err, "-blockdev",
				"driver=%s,node-name=disk%zu,cache.no-flush=on,discard=unmap,"
				"file.driver=file,file.cache.no-flush=on,file.discard=unmap,"
				"file.filename=%s", d->format, i, file) < 0 ||
			add_option(argv, err, "-device", "nvme,drive=disk%zu,serial=%s,bootindex=%zu",
				i, serial, i + 1) < 0)
			return -1;
	}
	return 0;
}

static char *imds_command(const struct qemu_machine *m, struct error *err)
{
	CLEANUP_FREE char *self = quote(m->self, err);
	CLEANUP_FREE char *folder = quote(m->imds_folder, err);
	CLEANUP_FREE char *command =
		self && folder ? buf_strf(err, "%s imds-bridge -- %s", self, folder) : NULL;

	return command ? escape(command, err) : NULL;
}

static int add_network(const struct qemu_machine *m, struct qemu_argv *argv, struct error *err)
{
	CLEANUP_FREE char *name = escape(m->hostname, err);
	CLEANUP_FREE char *command = NULL;
	CLEANUP_BUF struct buf net = BUF_INIT(0);

	if (!name ||
		buf_addf(&net, err, "user,id=net,ipv6=off,net=" QEMU_GUEST_NETWORK
			",host=169.254.0.2,dns=169.254.0.3,dhcpstart=" QEMU_GUEST_ADDRESS
			",hostname=%s", name) < 0)
		return -1;
	if (m->ssh_port && buf_addf(&net, err, ",hostfwd=tcp:127.0.0.1:%u-:22", m->ssh_port) < 0)
		return -1;
	if (m->imds_folder) {
		command = imds_command(m, err);
		if (!command || buf_addf(&net, err, ",guestfwd=tcp:169.254.169.254:80-cmd:%s",
					command) < 0)
			return -1;
	}
	if (add_option(argv, err, "-netdev", "%s", buf_str(&net)) < 0)
		return -1;
	return add_option(argv, err, "-device", "virtio-net-pci,netdev=net,mac=%s,romfile=", m->mac);
}

static int add_kernel(const struct qemu_machine *m, struct qemu_argv *argv, struct error *err)
{
	const struct {
		const char *option, *value;
	} items[] = {{"-kernel", m->kernel}, {"-initrd", m->initrd}, {"-append", m->append}};

	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		if (items[i].value &&
			add_option(argv, err, items[i].option, "%s", items[i].value) < 0)
			return -1;
	return 0;
}

int qemu_args(const struct qemu_machine *m, struct qemu_argv *out, struct error *err)
{
	if (add_base(out, m->architecture, m->kvm, err) < 0 ||
		add_option(out, err, "-m", "%lluM", (unsigned long long)(m->memory / MIB)) < 0 ||
		add_option(out, err, "-smp", "%u", m->processors) < 0 ||
		add_option(out, err, "-monitor", "none") < 0 || add_dmi(m, out, err) < 0 ||
		add_firmware(m, out, err) < 0 || add_console(m, out, err) < 0 ||
		add_disks(m, out, err) < 0 || add_network(m, out, err) < 0 ||
		add_option(out, err, "-device", "virtio-rng-pci") < 0)
		return -1;
	return add_kernel(m, out, err);
}
