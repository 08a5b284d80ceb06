/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk asks for extents one stretch at a time, so that a fragmented device of any size costs
 * a bounded list, and leaps over long extents that nobody asked for.
 */
#include "base/walk.h"

#include "base/num.h"

#include <assert.h>

/*
 * Bytes asked for at once, rounded up to whole units: at most 64 Ki extents of a sector each. After a stretch that
 * is all alike, the next one is twice as long, up to the longer: so are holes of many TiB passed in a moment.
 */
#define STRETCH (32 * MIB)
#define STRETCH_MAX (256 * MIB)

void walk_init(struct walk *w, struct dev *dev, uint64_t unit)
{
	assert(unit > 0);
	*w = (struct walk){.dev = dev, .unit = unit, .want = STRETCH, .stretch = EXTENT_LIST_INIT};
}

void walk_release(struct walk *w)
{
	extent_list_release(&w->stretch);
	w->pos = 0;
}

static uint64_t extent_end(const struct extent *e)
{
	return e->off + e->len;
}

/*
 * Makes `pos` the extent in which the byte `off` lies, asking for a new stretch when it is in
 * none.
 */
static int go_to(struct walk *w, uint64_t off, struct error *err)
{
	struct extent_list *list = &w->stretch;
	uint64_t want;

	if (list->nr == 0 || off < list->items[0].off ||
		off >= extent_end(&list->items[list->nr - 1])) {
		w->want = list->nr == 1 ? MIN(2 * w->want, STRETCH_MAX) : STRETCH;
		if (num_round_up(w->want, w->unit, &want))
			want = UINT64_MAX;
		extent_list_clear(list);
		w->pos = 0;
		if (dev_extents(w->dev, off, MIN(want, w->dev->size - off), list, err) < 0)
			return -1;
		if (list->nr == 0)
			return error_set(err, ERROR_BUG, 0, "the %s device has no extents",
				w->dev->ops->name);
	}
	if (off < list->items[w->pos].off)
		w->pos = 0;
	while (extent_end(&list->items[w->pos]) <= off)
		w->pos++;
	return 0;
}

/* The strongest kind in [off, end), from the current extent on. */
static enum extent_kind strongest(const struct walk *w, uint64_t end)
{
	enum extent_kind kind = EXTENT_UNUSED;

	for (size_t i = w->pos; i < w->stretch.nr && w->stretch.items[i].off < end; i++)
		kind = MAX(kind, w->stretch.items[i].kind);
	return kind;
}

int walk_next_run(struct walk *w, enum extent_kind least, uint64_t *index, uint64_t *nr,
	enum extent_kind *kind, struct error *err)
{
	uint64_t off, end;

	while (!num_mul(w->next, w->unit, &off) && off < w->dev->size) {
		if (go_to(w, off, err) < 0)
			return -1;
		end = off + MIN(w->unit, w->dev->size - off);
		*kind = strongest(w, end);
		*index = w->next;
		/* All units that lie wholly in this extent are like this one. */
		w->next = MAX(w->next + 1, extent_end(&w->stretch.items[w->pos]) / w->unit);
		*nr = w->next - *index;
		if (*kind >= least)
			return 1;
	}
	return 0;
}

int walk_next(struct walk *w, enum extent_kind least, uint64_t *index, enum extent_kind *kind,
	struct error *err)
{
	uint64_t nr;
	int found = walk_next_run(w, least, index, &nr, kind, err);

	if (found > 0)
		w->next = *index + 1;
	return found;
}

int walk_count(struct dev *dev, uint64_t unit, uint64_t count[3], struct error *err)
{
	enum extent_kind kind;
	uint64_t index, nr;
	struct walk w;
	int found;

	count[EXTENT_UNUSED] = num_div_up(dev->size, unit);
	count[EXTENT_ZERO] = count[EXTENT_DATA] = 0;
	walk_init(&w, dev, unit);
	while ((found = walk_next_run(&w, EXTENT_ZERO, &index, &nr, &kind, err)) > 0) {
		count[kind] += nr;
		count[EXTENT_UNUSED] -= nr;
	}
	walk_release(&w);
	return found;
}
