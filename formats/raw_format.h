/* SPDX-License-Identifier: Apache-2.0 */
/* For the table of formats/format.c. */
#ifndef AMIWRIGHT_FORMATS_RAW_FORMAT_H
#define AMIWRIGHT_FORMATS_RAW_FORMAT_H

#include "formats/format.h"

extern const struct format format_raw;

/* The disk byte after byte, long zeros as holes: all of a raw image, and what a fixed VHD begins with. */
int raw_stream(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err) MUST_CHECK;

#endif
