/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line as a pure function of a machine that is like EC2's Nitro ones where QEMU can
 * be: NVMe volumes, one network interface with the metadata service at 169.254.169.254, EC2's DMI
 * strings, a serial console.
 *
 * The network is 169.254.0.0/16, because QEMU's user network can forward only addresses of its own
 * network to a program. The serial console is QEMU's standard input and output.
 */
#ifndef AMIWRIGHT_BUILDER_QEMU_ARGS_H
#define AMIWRIGHT_BUILDER_QEMU_ARGS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum qemu_architecture { QEMU_X86_64, QEMU_ARM64 };
enum qemu_firmware { QEMU_BIOS, QEMU_UEFI };

#define QEMU_GUEST_NETWORK "169.254.0.0/16"
#define QEMU_GUEST_ADDRESS "169.254.0.15"

struct qemu_disk {
	const char *file;   /* is written to */
	const char *format; /* "raw", "qcow2" */
	const char *serial; /* at most 20 characters: "vol0123456789abcdef0" */
};

struct qemu_machine {
	enum qemu_architecture architecture;
	enum qemu_firmware firmware;
	bool kvm;                  /* else emulation */
	const char *code, *vars;   /* for UEFI: firmware image, and its variables (written to) */
	uint64_t memory;           /* bytes */
	unsigned processors;
	const struct qemu_disk *disks; /* the first is the root volume */
	size_t nr_disks;
	const char *mac, *hostname;
	const char *self;          /* our program, and the folder with the metadata service's socket; */
	const char *imds_folder;   /* NULL: no such service */
	uint16_t ssh_port;         /* of 127.0.0.1; 0: none */
	const char *kernel, *initrd, *append; /* NULL: what the disk boots */
	const char *uuid;          /* "ec2…", lower case */
	const char *instance_type, *instance_id;
};

struct qemu_argv {
	char **items; /* owned, NULL-terminated */
	size_t nr;
};

/* Appends; release in any case. */
int qemu_args(const struct qemu_machine *m, struct qemu_argv *out, struct error *err) MUST_CHECK;
void qemu_argv_release(struct qemu_argv *argv);

/* "qemu-system-x86_64", and the Debian package that has it. */
const char *qemu_program(enum qemu_architecture a);
const char *qemu_package(enum qemu_architecture a);
const char *qemu_architecture_name(enum qemu_architecture a);

#endif
