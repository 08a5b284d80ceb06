/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a disk from its extents, and what differs from another one. */
#include "builder/map.h"

#include <stdlib.h>
#include <string.h>

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

static int fill(struct map *m, struct dev *dev, struct error *err)
{
	struct walk walk;
	enum extent_kind kind;
	uint64_t index;
	int r;

	walk_init(&walk, dev, MAP_UNIT);
	while ((r = walk_next(&walk, EXTENT_UNUSED, &index, &kind, err)) > 0) {
		m->cells[index] = (uint8_t)kind_of(kind);
		m->count[m->cells[index]]++;
	}
	walk_release(&walk);
	return r;
}

int map_make(struct map *m, struct dev *dev, struct error *err)
{
	char size[NUM_SIZE_TEXT];

	*m = (struct map){.size = dev->size, .nr_units = num_div_up(dev->size, MAP_UNIT)};
	if (dev->size > MAP_SIZE_MAX)
		return error_set(err, ERROR_INPUT, 0, "a disk of %s is too large for a map",
			num_format_size(size, dev->size));
	m->cells = calloc(1, m->nr_units + 1);
	if (!m->cells)
		return error_nomem(err, "the map of a disk");
	return fill(m, dev, err);
}

void map_release(struct map *m)
{
	free(m->cells);
	*m = (struct map){.cells = NULL};
}

/* One unit as it is to be seen: zeros behind the end. */
static int read_unit(struct dev *dev, uint64_t index, uint8_t *to, struct error *err)
{
	uint64_t off = index * MAP_UNIT;
	size_t len = off < dev->size ? MIN(MAP_UNIT, dev->size - off) : 0;

	memset(to + len, 0, MAP_UNIT - len);
	return len ? dev_pread(dev, to, len, off, err) : 0;
}

static int compare_unit(struct map *m, struct dev *const devs[2], const struct map *other,
	uint64_t i, uint8_t *two, struct error *err)
{
	enum map_kind theirs = i < other->nr_units ? other->cells[i] : MAP_UNUSED;

	/* What reads as zeros on both sides is the same without being read. */
	if (m->cells[i] != MAP_USED && theirs != MAP_USED)
		return 0;
	if (read_unit(devs[0], i, two, err) < 0 || read_unit(devs[1], i, two + MAP_UNIT, err) < 0)
		return -1;
	if (memcmp(two, two + MAP_UNIT, MAP_UNIT) != 0) {
		m->cells[i] |= MAP_CHANGED;
		m->changed++;
	}
	return 0;
}

/* Units of the other disk that lie behind the end of this one. */
static void count_rest(struct map *m, const struct map *other)
{
	for (uint64_t i = m->nr_units; i < other->nr_units; i++)
		m->changed += other->cells[i] == MAP_USED;
}

int map_compare(struct map *m, struct dev *dev, struct dev *other, const struct map_opts *opts,
	struct error *err)
{
	CLEANUP_FREE uint8_t *two = malloc(2 * (size_t)MAP_UNIT);
	struct dev *const devs[2] = {dev, other};
	struct map theirs;
	int ret = two ? map_make(&theirs, other, err) : error_nomem(err, "two units of a disk");

	if (!two)
		return -1;
	for (uint64_t i = 0; ret == 0 && i < m->nr_units; i++) {
		if (opts->cancelled && opts->cancelled())
			ret = error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		else
			ret = compare_unit(m, devs, &theirs, i, two, err);
		if (opts->progress)
			progress_add(opts->progress, MIN(MAP_UNIT, m->size - i * MAP_UNIT));
	}
	if (ret == 0)
		count_rest(m, &theirs);
	m->compared = ret == 0;
	map_release(&theirs);
	return ret;
}

struct map_sum map_sum(const struct map *m, uint64_t off, uint64_t len)
{
	struct map_sum sum = {.total = 0};
	uint64_t first = MIN(off, m->size) / MAP_UNIT;
	uint64_t end = num_div_up(MIN(len, m->size - MIN(off, m->size)) + MIN(off, m->size), MAP_UNIT);

	for (uint64_t i = first; i < end && i < m->nr_units; i++) {
		sum.count[m->cells[i] & ~MAP_CHANGED]++;
		sum.changed += (m->cells[i] & MAP_CHANGED) != 0;
		sum.total++;
	}
	return sum;
}

static int add_run(struct json *runs, const struct map *m, uint64_t first, uint64_t nr,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *run = json_new_object(err);
	uint8_t cell = m->cells[first];

	if (!run || json_set_int(run, "first", (int64_t)first, err) < 0 ||
		json_set_int(run, "count", (int64_t)nr, err) < 0 ||
		json_set_str(run, "kind", kind_names[cell & ~MAP_CHANGED], err) < 0 ||
		(m->compared && json_set_bool(run, "changed", cell & MAP_CHANGED, err) < 0))
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
	for (uint64_t i = 0, nr; i < m->nr_units; i += nr) {
		for (nr = 1; i + nr < m->nr_units && m->cells[i + nr] == m->cells[i];)
			nr++;
		if (add_run(runs, m, i, nr, err) < 0)
			return NULL;
	}
	if (json_set(out, "runs", steal_ptr(&runs), err) < 0)
		return NULL;
	return steal_ptr(&out);
}
