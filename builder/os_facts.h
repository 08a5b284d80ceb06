/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operating system an image holds and how a machine could start it, found in the files of its
 * file systems and in its boot sectors: nothing is run.
 */
#ifndef AMIWRIGHT_BUILDER_OS_FACTS_H
#define AMIWRIGHT_BUILDER_OS_FACTS_H

#include "base/json.h"
#include "fs/partition.h"
#include "fs/reader.h"

struct os_facts {
	char *id, *version, *name; /* of os-release; NULL: none was found; owned */
	struct tree *boot;         /* private: names that kernels are looked for in; owned */
	const char *arch;          /* "x86_64", "arm64", "i386"; NULL: not known */
	const char *elf_arch;      /* private: of programs, when no kernel says it */
	bool bios, uefi_x64, uefi_arm64; /* what firmware would find something to start */
};

/* Release in any case. */
int os_facts_init(struct os_facts *f, struct error *err) MUST_CHECK;
void os_facts_release(struct os_facts *f);

/*
 * Adds what the files of one file system tell. esp: it is an EFI system partition, where UEFI looks
 * for boot loaders. ERROR_INPUT when it is damaged; what was found before that stays.
 */
int os_facts_look(struct os_facts *f, struct reader *r, bool esp, struct error *err) MUST_CHECK;
/*
 * Whether a BIOS could start the disk: code in the MBR, and a place that such code goes on from: a
 * BIOS boot partition that is not empty, an active partition, a loader behind the MBR.
 */
int os_facts_look_bios(struct os_facts *f, struct dev *dev, const struct partition_table *table,
	struct error *err) MUST_CHECK;

/*
 * Sets "os": {"id", "version", "name"}, "kernels": ["6.1.0-40-cloud-amd64"…] (the newest first),
 * "architecture", "boot_modes": ["legacy-bios", "uefi"], and "boot_mode" as RegisterImage has it
 * ("uefi-preferred" for both). What was not found is null, a list is empty.
 */
int os_facts_json(struct os_facts *f, struct json *out, struct error *err) MUST_CHECK;

#endif
