/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VHD images, fixed and dynamic. All numbers are big-endian, addresses of blocks are sectors of 512.
 *
 *   fixed      ┌──────────────────────────────────────────────┬────────┐
 *              │ the disk                                     │ footer │
 *              └──────────────────────────────────────────────┴────────┘
 *   dynamic    ┌────────┬────────┬───────┬────────┬───────┬─ … ┬────────┐
 *              │ footer │ header │ BAT   │ bitmap │ block │    │ footer │
 *              │ 512    │ 1024   │ 4 n   │ 512    │ 2 MiB │    │ 512    │
 *              └────────┴────────┴───────┴────────┴───────┴─ … ┴────────┘
 *
 * The BAT has for each block of the disk the sector where its bitmap begins, or ffffffff: zeros.
 *
 * Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (2006).
 */
#ifndef AMIWRIGHT_FORMATS_VHD_H
#define AMIWRIGHT_FORMATS_VHD_H

#include "formats/format.h"

enum {
	VHD_SECTOR = 512,
	VHD_FOOTER = 512,
	VHD_HEADER = 1024,
	VHD_TABLE = VHD_FOOTER + VHD_HEADER, /* where our BAT is */
	VHD_BLOCK = 2 << 20,
};

#define VHD_UNUSED UINT32_MAX /* in a BAT */

/* "Hard Disk Footer Format", disk type */
enum vhd_type { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

/* What a footer says. */
struct vhd_footer {
	enum vhd_type type;
	uint64_t header;   /* where the dynamic header is */
	uint64_t size;     /* bytes of the disk */
	uint32_t time;     /* seconds since 2000-01-01 */
	uint8_t id[16];
};

void vhd_footer_encode(const struct vhd_footer *f, uint8_t out[VHD_FOOTER]);
/* False when it is none, or its checksum is wrong. */
bool vhd_footer_decode(const uint8_t in[VHD_FOOTER], struct vhd_footer *f);
/* "Hard Disk Footer Format" and "Dynamic Disk Header Format": the ones' complement of the sum. */
uint32_t vhd_checksum(const uint8_t *bytes, size_t len, size_t checksum_off);

extern const struct format format_vhd, format_vhd_fixed;

/* The slot open() of struct format_reader. */
int vhd_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err) MUST_CHECK;

#endif
