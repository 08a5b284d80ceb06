/* SPDX-License-Identifier: Apache-2.0 */
/* Spans of time and points in it, as people write them on a command line. */
#ifndef AMIWRIGHT_BUILDER_DURATION_H
#define AMIWRIGHT_BUILDER_DURATION_H

#include "base/error.h"

#include <stdint.h>

/* "90m", "36h", "30d", "6w", "2y" (of 365 days) into seconds; ERROR_USAGE, also for 0. */
int duration_parse(const char *text, int64_t *seconds, struct error *err) MUST_CHECK;
/* "2027-01-31" (midnight, UTC) or "2027-01-31T12:00:00Z" into seconds since 1970. */
int duration_parse_date(const char *text, int64_t *seconds, struct error *err) MUST_CHECK;

#endif
