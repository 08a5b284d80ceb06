/* SPDX-License-Identifier: Apache-2.0 */
/* For the table of formats/format.c. */
#ifndef AMIWRIGHT_FORMATS_RAW_FORMAT_H
#define AMIWRIGHT_FORMATS_RAW_FORMAT_H

#include "formats/format.h"

extern const struct format format_raw;

#endif
