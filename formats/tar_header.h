/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of a plain file in a tar archive, as the image of a bundle and the files of an OVA have it:
 * mode 0644, owned by root. Sources: POSIX.1-2017 pax, "ustar Interchange Format"; the GNU tar manual,
 * "Standard" (numbers in base 256, for 8 GiB and more).
 */
#ifndef AMIWRIGHT_FORMATS_TAR_HEADER_H
#define AMIWRIGHT_FORMATS_TAR_HEADER_H

#include <stdint.h>

enum { TAR_BLOCK = 512, TAR_RECORD = 10240, TAR_NAME_MAX = 100 };

/* name: at most TAR_NAME_MAX bytes (asserted). time: seconds since 1970, >= 0. */
void tar_header(uint8_t block[TAR_BLOCK], const char *name, uint64_t size, int64_t time);

#endif
