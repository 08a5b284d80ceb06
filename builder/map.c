/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a disk from its extents, and what differs from another one. */
#include "builder/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "base/walk.h"

static const char *const kind_names[] = {
	[MAP_UNUSED] = "unused",
	[MAP_ZERO] = "zero",
	[MAP_USED] = "used",
};

static enum map_kind kind_of(enum extent_kind kind)
{
	return kind == EXTENT_DATA ? MAP_USED : kind == EXTENT_ZERO ? MAP_ZERO : MAP_UNUSED;
}

static bool same(const struct map_run *a, enum map_kind kind, bool changed)
{
	return a->kind == kind && a->changed == changed;
}

/* Units behind those that are there. */
static int add(struct map *m, uint64_t nr, enum map_kind kind, bool changed, struct error *err)
{
	struct map_run *last = m->nr_runs ? &m->runs[m->nr_runs - 1] : NULL;
	uint64_t first = last ? last->first + last->nr : 0;

	m->count[kind] += nr;
	m->changed += changed ? nr : 0;
	if (last && same(last, kind, changed)) {
		last->nr += nr;
		return 0;
	}
	if (ARRAY_GROW(m->runs, m->nr_runs + 1, m->alloc_runs, "the map of a disk", err) < 0)
		return -1;
	m->runs[m->nr_runs++] = (struct map_run){.first = first, .nr = nr, .kind = kind, .changed = changed};
	return 0;
}

static int fill(struct map *m, struct dev *dev, struct error *err)
{
	struct walk walk;
	enum extent_kind kind;
	uint64_t index, nr;
	int r;

	walk_init(&walk, dev, MAP_UNIT);
	while ((r = walk_next_run(&walk, EXTENT_UNUSED, &index, &nr, &kind, err)) > 0)
		if (add(m, nr, kind_of(kind), false, err) < 0) {
			r = -1;
			break;
		}
	walk_release(&walk);
	return r;
}

int map_make(struct map *m, struct dev *dev, struct error *err)
{
	*m = (struct map){.size = dev->size, .nr_units = num_div_up(dev->size, MAP_UNIT)};
	return fill(m, dev, err);
}

void map_release(struct map *m)
{
	free(m->runs);
	*m = (struct map){.runs = NULL};
}

/* One unit as it is to be seen: zeros behind the end. */
static int read_unit(struct dev *dev, uint64_t index, uint8_t *to, struct error *err)
{
	uint64_t off = index * MAP_UNIT;
	size_t len = off < dev->size ? MIN(MAP_UNIT, dev->size - off) : 0;

	memset(to + len, 0, MAP_UNIT - len);
	return len ? dev_pread(dev, to, len, off, err) : 0;
}

/* The number of the run in which the unit is; all units have one. */
static size_t find_run(const struct map *m, uint64_t unit)
{
	return ARRAY_LAST_UP_TO(m->runs, m->nr_runs, first, unit);
}

/* One comparison of two disks, run by run. */
struct comparison {
	struct dev *devs[2];
	const struct map *maps[2];
	const struct map_opts *opts;
	struct map *out;
	uint8_t *two; /* units */
};

/* What that unit is; *nr is cut to the units from it on that are the same. */
static enum map_kind kind_at(const struct map *m, uint64_t unit, uint64_t *nr)
{
	const struct map_run *run;

	if (unit >= m->nr_units)
		return MAP_UNUSED;
	run = &m->runs[find_run(m, unit)];
	*nr = MIN(*nr, run->first + run->nr - unit);
	return run->kind;
}

static int compare_units(
	struct comparison *c, uint64_t first, uint64_t nr, enum map_kind kind, struct error *err)
{
	for (uint64_t i = first; i < first + nr; i++) {
		if (c->opts->cancelled && c->opts->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		if (read_unit(c->devs[0], i, c->two, err) < 0 ||
			read_unit(c->devs[1], i, c->two + MAP_UNIT, err) < 0 ||
			add(c->out, 1, kind, memcmp(c->two, c->two + MAP_UNIT, MAP_UNIT) != 0, err) < 0)
			return -1;
		if (c->opts->progress)
			progress_add(c->opts->progress, MAP_UNIT);
	}
	return 0;
}

static int compare_all(struct comparison *c, struct error *err)
{
	uint64_t end = c->maps[0]->nr_units;

	for (uint64_t at = 0, nr; at < end; at += nr) {
		enum map_kind ours, theirs;

		nr = end - at;
		ours = kind_at(c->maps[0], at, &nr);
		theirs = kind_at(c->maps[1], at, &nr);
		if (ours == MAP_USED || theirs == MAP_USED) {
			if (compare_units(c, at, nr, ours, err) < 0)
				return -1;
			continue;
		}
		/* What reads as zeros on both sides is the same without being read. */
		if (add(c->out, nr, ours, false, err) < 0)
			return -1;
		if (c->opts->progress)
			progress_add(c->opts->progress, nr * MAP_UNIT);
	}
	return 0;
}

/* Units of the other disk that lie behind the end of this one. */
static void count_rest(struct map *m, const struct map *other)
{
	for (uint64_t at = m->nr_units, nr; at < other->nr_units; at += nr) {
		nr = other->nr_units - at;
		if (kind_at(other, at, &nr) == MAP_USED)
			m->changed += nr;
	}
}

int map_compare(struct map *m, struct dev *dev, struct dev *other, const struct map_opts *opts,
	struct error *err)
{
	CLEANUP_FREE uint8_t *two = malloc(2 * (size_t)MAP_UNIT);
	struct map theirs = {0}, out = {.size = m->size, .nr_units = m->nr_units};
	struct comparison c = {{dev, other}, {m, &theirs}, opts, &out, two};
	int ret = two ? map_make(&theirs, other, err) : error_nomem(err, "two units of a disk");

	if (ret == 0)
		ret = compare_all(&c, err);
	if (ret == 0) {
		count_rest(&out, &theirs);
		out.compared = true;
		out.other_size = other->size;
		map_release(m);
		*m = out;
	} else {
		map_release(&out);
	}
	map_release(&theirs);
	return ret;
}

struct map_sum map_sum(const struct map *m, uint64_t off, uint64_t len)
{
	struct map_sum sum = {.total = 0};
	uint64_t at = MIN(off, m->size) / MAP_UNIT;
	uint64_t end = num_div_up(MIN(len, m->size - MIN(off, m->size)) + MIN(off, m->size), MAP_UNIT);

	end = MIN(end, m->nr_units);
	for (size_t i = find_run(m, at); at < end; i++) {
		const struct map_run *run = &m->runs[i];
		uint64_t nr = MIN(end, run->first + run->nr) - at;

		sum.count[run->kind] += nr;
		sum.changed += run->changed ? nr : 0;
		sum.total += nr;
		at += nr;
	}
	return sum;
}

static int add_run(struct json *runs, const struct map *m, const struct map_run *r, struct error *err)
{
	CLEANUP(json_cleanup) struct json *run = json_new_object(err);

	if (!run || json_set_int(run, "first", (int64_t)r->first, err) < 0 ||
		json_set_int(run, "count", (int64_t)r->nr, err) < 0 ||
		json_set_str(run, "kind", kind_names[r->kind], err) < 0 ||
		(m->compared && json_set_bool(run, "changed", r->changed, err) < 0))
		return -1;
	return json_append(runs, steal_ptr(&run), err);
}

struct json *map_json(const struct map *m, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err), *runs = json_new_array(err);

	if (!out || !runs || json_set_int(out, "unit", MAP_UNIT, err) < 0 ||
		json_set_int(out, "units", (int64_t)m->nr_units, err) < 0)
		return NULL;
	for (int k = MAP_USED; k >= MAP_UNUSED; k--)
		if (json_set_int(out, kind_names[k], (int64_t)m->count[k], err) < 0)
			return NULL;
	if (m->compared && json_set_int(out, "changed", (int64_t)m->changed, err) < 0)
		return NULL;
	for (size_t i = 0; i < m->nr_runs; i++)
		if (add_run(runs, m, &m->runs[i], err) < 0)
			return NULL;
	if (json_set(out, "runs", steal_ptr(&runs), err) < 0)
		return NULL;
	return steal_ptr(&out);
}
