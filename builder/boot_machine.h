/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine of `boot`: what it calls itself, how it is run, its metadata service and its QEMU. Made
 * in steps, since the disks lie between them and may take minutes: what is missing is found before.
 */
#ifndef AMIWRIGHT_BUILDER_BOOT_MACHINE_H
#define AMIWRIGHT_BUILDER_BOOT_MACHINE_H

#include "base/hash.h"
#include "builder/boot_source.h"
#include "builder/imds.h"
#include "builder/imds_server.h"
#include "builder/qemu.h"

/* What the machine is made of; all borrowed while the machine is there. */
struct boot_machine_opts {
	const struct boot_source *source;
	const char *folder;        /* temporary: sockets, the firmware's variables */
	const char *region;        /* in which it says that it is */
	const char *instance_type; /* NULL: m5.large, m6g.large */
	const char *kernel, *initrd, *append; /* NULL: what the disk boots */
	uint64_t memory;           /* bytes; 0: 1 GiB */
	uint16_t ssh_port;         /* of 127.0.0.1; 0: none */
	const char *public_key;    /* in OpenSSH's form, one line; NULL: none */
	const void *user_data;     /* NULL: none */
	size_t user_data_len;
	const struct aws_tag *tags;
	size_t nr_tags;
};

struct boot_machine {
	struct qemu qemu;
	struct imds *imds;
	struct imds_server *server;
	bool kvm;
	char instance[20], ami[20], uuid[UUID_TEXT_SIZE], mac[18], hostname[80];
};

#define BOOT_MACHINE_INIT        \
	{                        \
		.qemu = QEMU_INIT \
	}

/* Draws the ids, in EC2's forms. ERROR_IO without randomness. */
int boot_machine_name(struct boot_machine *m, struct error *err) MUST_CHECK;
/*
 * Sets m->kvm. wanted: "kvm", "tcg", "auto" or NULL, which is auto. ERROR_INPUT when KVM is wanted and
 * does not work.
 */
int boot_machine_choose(struct boot_machine *m, const char *wanted, enum qemu_architecture a,
	struct error *err) MUST_CHECK;
/* Starts the metadata service and QEMU, with the names and the accelerator from before. */
int boot_machine_start(struct boot_machine *m, const struct boot_machine_opts *opts,
	struct error *err) MUST_CHECK;
/* Ends QEMU and frees the rest; after any step. */
void boot_machine_release(struct boot_machine *m);

#endif
