/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed raw images, for the table of formats/format.c: the disk in pieces of one size, each
 * compressed by itself (a member of a gzip file, a frame of a zstd one), so that all processors work on
 * it and the bytes do not depend on how many there are. Sources: RFC 1952 2.2, RFC 8878 3.1.
 */
#ifndef AMIWRIGHT_FORMATS_PACK_H
#define AMIWRIGHT_FORMATS_PACK_H

#include "formats/format.h"

extern const struct format format_raw_gz, format_raw_zst;

#endif
