/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OVA: a machine of one disk as a tar archive, in this order.
 *
 *   NAME.ovf          the descriptor: XML that names the disk and the hardware
 *   NAME.mf           "SHA256(NAME.ovf)= …" and the same for the disk
 *   NAME-disk1.vmdk   streamOptimized
 *
 * Source: DMTF DSP0243 1.1 and 2.1 (Open Virtualization Format Specification): 5.1 (files and their
 * order), 6 (the digests), 7 to 9 (the descriptor); CIM_OperatingSystem.OSType and
 * CIM_ResourceAllocationSettingData.ResourceType for the numbers.
 */
#ifndef AMIWRIGHT_FORMATS_OVA_H
#define AMIWRIGHT_FORMATS_OVA_H

#include "base/buf.h"
#include "formats/format.h"

enum { OVA_NAME_MAX = 80 };

/* What the descriptor tells of the disk. */
struct ova_disk {
	const char *file;    /* its name in the archive */
	uint64_t file_size;  /* bytes */
	uint64_t capacity;   /* bytes of the disk */
	uint64_t populated;  /* of them those in grains that are not left out */
};

/* Appends the descriptor. name: of the machine. */
int ova_ovf_make(struct buf *out, const char *name, const struct ova_disk *disk,
	const struct format_write_opts *opts, struct error *err) MUST_CHECK;

/*
 * The file that the descriptor's first disk is in, the caller's to free; *nr_disks of them are there.
 * ERROR_INPUT, as the end of a sentence, when it names none.
 */
char *ova_ovf_disk(const struct buf *ovf, size_t *nr_disks, struct error *err) MUST_CHECK;

extern const struct format format_ova;

/* The slot open() of struct format_reader, for "tar": what is no OVA is refused as a layer's archive. */
int ova_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err) MUST_CHECK;

#endif
