/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over a device in aligned units (512 KiB blocks of a snapshot, grains of a VMDK): for each
 * unit, whether any of it is data, else whether any of it is zero. Memory is constant: extents are
 * asked for a stretch at a time. It reads no content.
 */
#ifndef AMIWRIGHT_BASE_WALK_H
#define AMIWRIGHT_BASE_WALK_H

#include "base/dev.h"

struct walk {
	struct dev *dev; /* borrowed */
	uint64_t unit;   /* bytes */
	uint64_t next;   /* index of the unit that walk_next() looks at next */
	/* private */
	uint64_t want; /* bytes that were asked for last */
	struct extent_list stretch;
	size_t pos;
};

/* unit > 0. The last unit may reach past the end of the device. */
void walk_init(struct walk *w, struct dev *dev, uint64_t unit);
void walk_release(struct walk *w);

/*
 * Finds the next unit whose kind (data over zero over unused) is at least `least`. Returns 1 with
 * *index and *kind, 0 at the end, -1 on error.
 */
int walk_next(struct walk *w, enum extent_kind least, uint64_t *index, enum extent_kind *kind,
	struct error *err) MUST_CHECK;

/*
 * The same for several units at once: *nr of them from *index on are of that kind. The units behind them may be of
 * it, too.
 */
int walk_next_run(struct walk *w, enum extent_kind least, uint64_t *index, uint64_t *nr,
	enum extent_kind *kind, struct error *err) MUST_CHECK;

/* Number of units of dev by kind: count[EXTENT_UNUSED], [EXTENT_ZERO], [EXTENT_DATA]. */
int walk_count(struct dev *dev, uint64_t unit, uint64_t count[3], struct error *err) MUST_CHECK;

#endif
