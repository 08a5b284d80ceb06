/* SPDX-License-Identifier: Apache-2.0 */
/* Footers, which both kinds of VHD have and both directions need. */
#include "formats/vhd.h"

#include <string.h>

#include "base/num.h"

enum { CHECKSUM_OFF = 64 };

uint32_t vhd_checksum(const uint8_t *bytes, size_t len, size_t checksum_off)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		if (i < checksum_off || i >= checksum_off + 4)
			sum += bytes[i];
	return ~sum;
}

/* Appendix "CHS Calculation". BIOSes of long ago care; the size is what counts. */
static void put_geometry(uint8_t out[4], uint64_t size)
{
	uint64_t sectors = MIN(size / VHD_SECTOR, UINT64_C(65535) * 16 * 255), tracks;
	uint32_t heads = 16, per_track = 255;

	if (sectors < UINT64_C(65535) * 16 * 63) {
		per_track = 17;
		tracks = sectors / per_track;
		heads = MAX((uint32_t)((tracks + 1023) / 1024), 4);
		if (tracks >= heads * 1024 || heads > 16) {
			per_track = 31;
			heads = 16;
			tracks = sectors / per_track;
		}
		if (tracks >= heads * 1024)
			per_track = 63;
	}
	tracks = sectors / per_track;
	num_put_be16(out, (uint16_t)(tracks / heads));
	out[2] = (uint8_t)heads;
	out[3] = (uint8_t)per_track;
}

void vhd_footer_encode(const struct vhd_footer *f, uint8_t out[VHD_FOOTER])
{
	memset(out, 0, VHD_FOOTER);
	memcpy(out, "conectix", 8);
	num_put_be32(out + 8, 2); /* the bit that is always set */
	num_put_be32(out + 12, 0x00010000);
	num_put_be64(out + 16, f->type == VHD_FIXED ? UINT64_MAX : f->header);
	num_put_be32(out + 24, f->time);
	/*
	 * Hyper-V's name and version: a reader that does not know who made the file (QEMU, for one)
	 * takes the geometry for the size, which is less.
	 */
	memcpy(out + 28, "win ", 4);
	num_put_be32(out + 32, 0x000a0000);
	memcpy(out + 36, "Wi2k", 4);
	num_put_be64(out + 40, f->size);
	num_put_be64(out + 48, f->size);
	put_geometry(out + 56, f->size);
	num_put_be32(out + 60, f->type);
	memcpy(out + 68, f->id, 16);
	num_put_be32(out + CHECKSUM_OFF, vhd_checksum(out, VHD_FOOTER, CHECKSUM_OFF));
}

bool vhd_footer_decode(const uint8_t in[VHD_FOOTER], struct vhd_footer *f)
{
	if (memcmp(in, "conectix", 8) ||
		num_get_be32(in + CHECKSUM_OFF) != vhd_checksum(in, VHD_FOOTER, CHECKSUM_OFF))
		return false;
	*f = (struct vhd_footer){
		.type = num_get_be32(in + 60),
		.header = num_get_be64(in + 16),
		.size = num_get_be64(in + 48),
		.time = num_get_be32(in + 24),
	};
	memcpy(f->id, in + 68, sizeof(f->id));
	return true;
}
