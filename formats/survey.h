/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A look at a device before it is written into a format whose head says what follows: which units
 * hold anything but zeros, and a number that stands for the content. It reads all data once; so a
 * format can be written from its first byte to its last, into a pipe as well, and its content id is a
 * function of the content alone.
 *
 * Memory: a bit a unit (64 KiB units: 2 MiB for each TiB).
 */
#ifndef AMIWRIGHT_FORMATS_SURVEY_H
#define AMIWRIGHT_FORMATS_SURVEY_H

#include "base/dev.h"
#include "base/hash.h"

#include <stdbool.h>

struct survey {
	uint64_t unit;           /* bytes */
	uint64_t nr_units;       /* the last one may reach past the end of the device */
	uint64_t nr_data;        /* those that hold anything but zeros */
	uint8_t *bits;           /* private; owned */
	uint8_t id[SHA256_SIZE]; /* over size, unit, and index and CRC-32 of each unit with data */
};

struct survey_opts {
	unsigned workers;
	bool (*cancelled)(void); /* may be NULL */
};

/* unit: a power of 2 from 4 KiB to 4 MiB. Release in any case. */
int survey_make(struct survey *s, struct dev *dev, uint64_t unit, const struct survey_opts *opts,
	struct error *err) MUST_CHECK;
void survey_release(struct survey *s);
/* Whether unit `index` holds anything but zeros. */
bool survey_has(const struct survey *s, uint64_t index);

#endif
