/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of a disk: for each unit of 64 KiB what it is by the device's extents and the free blocks of
 * its file systems, and whether it differs from another disk's. Drawn as text (map_text.h) and as
 * a picture (map_svg.h). Units of one kind in a row are one run: memory and time are a matter of how torn
 * the disk is, not of how large it says it is.
 */
#ifndef AMIWRIGHT_BUILDER_MAP_H
#define AMIWRIGHT_BUILDER_MAP_H

#include "base/dev.h"
#include "base/json.h"
#include "base/progress.h"

enum { MAP_UNIT = 64 << 10 };

/* In ascending order of what wins where a cell stands for several units. */
enum map_kind { MAP_UNUSED, MAP_ZERO, MAP_USED, MAP_KINDS };

/* Units that are alike. */
struct map_run {
	uint64_t first, nr;
	enum map_kind kind;
	bool changed;
};

struct map {
	uint64_t size;     /* bytes of the disk */
	uint64_t nr_units; /* the last one may reach past its end */
	struct map_run *runs; /* of all units, in order; neighbours differ; owned */
	size_t nr_runs, alloc_runs;
	uint64_t count[MAP_KINDS], changed;
	bool compared;     /* `changed` means something */
	uint64_t other_size; /* bytes of the disk that it was compared with */
};

/*
 * By extents alone: no content is read but the file systems' own tables. dev's free blocks are
 * unused only when it says so itself (probe_usage_dev() of fs/probe.h does). Release in any case.
 */
int map_make(struct map *m, struct dev *dev, struct error *err) MUST_CHECK;
void map_release(struct map *m);

struct map_opts {
	struct progress *progress; /* begun and ended by the caller; may be NULL */
	bool (*cancelled)(void);   /* may be NULL */
};

/*
 * Marks the units that differ in other, as both are to be read: the unused parts of each are left
 * out of it, and what one of them has beyond the end of the other differs when it is used.
 */
int map_compare(struct map *m, struct dev *dev, struct dev *other, const struct map_opts *opts,
	struct error *err) MUST_CHECK;

/* What a stretch of the disk holds: units by kind, units that changed. */
struct map_sum {
	uint64_t count[MAP_KINDS], changed, total;
};
struct map_sum map_sum(const struct map *m, uint64_t off, uint64_t len);

/*
 * {"unit": 65536, "units": 16384, "used", "zero", "unused", "changed": numbers of units,
 *  "runs": [{"first", "count", "kind", "changed"}]}; "changed" only after map_compare().
 */
struct json *map_json(const struct map *m, struct error *err) MUST_CHECK;

#endif
