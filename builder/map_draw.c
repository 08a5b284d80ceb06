/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of a disk by its document. */
#include "builder/map_draw.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

static bool is_extended(const struct json *part)
{
	const char *type = json_get_str(part, "type", "");

	return !strcmp(type, "0x05") || !strcmp(type, "0x0f") || !strcmp(type, "0x85");
}

static int by_place(const void *a, const void *b)
{
	const struct map_region *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void add(struct map_regions *r, struct map_region region)
{
	if (region.len)
		r->items[r->nr++] = region;
}

int map_regions_make(struct map_regions *r, const struct json *disk, uint64_t size, struct error *err)
{
	const struct json *list = json_get(disk, "partitions");
	size_t nr = list ? json_length(list) : 0, found = 0;
	CLEANUP_FREE struct map_region *parts = calloc(nr + 1, sizeof(*parts));
	uint64_t at = 0;

	*r = (struct map_regions){calloc(2 * nr + 1, sizeof(*r->items)), 0};
	if (!parts || !r->items)
		return error_nomem(err, "the regions of a disk");
	for (size_t i = 0; i < nr; i++) {
		const struct json *p = json_at(list, i);

		if (!is_extended(p))
			parts[found++] = (struct map_region){(uint64_t)json_get_int(p, "offset", 0),
				(uint64_t)json_get_int(p, "size", 0), p,
				(size_t)json_get_int(p, "number", 0)};
	}
	qsort(parts, found, sizeof(*parts), by_place);
	for (size_t i = 0; i < found; i++) {
		uint64_t off = MAX(MIN(parts[i].off, size), at), end;

		if (num_add(parts[i].off, parts[i].len, &end))
			end = size;
		end = MAX(MIN(end, size), off);
		add(r, (struct map_region){at, end > off ? off - at : 0, NULL, 0});
		add(r, (struct map_region){off, end - off, parts[i].part, parts[i].number});
		at = end > off ? end : at;
	}
	add(r, (struct map_region){at, size - at, NULL, 0});
	return 0;
}

void map_regions_release(struct map_regions *r)
{
	free(r->items);
	*r = (struct map_regions){NULL, 0};
}

uint64_t map_cell_bytes(uint64_t size, uint64_t cells)
{
	uint64_t bytes = MAP_UNIT;

	while (num_div_up(size, bytes) > cells)
		bytes *= 2;
	return bytes;
}

unsigned map_quarters(const struct map_sum *sum)
{
	return sum->total ? (unsigned)num_div_up(sum->count[MAP_USED] * 4, sum->total) : 0;
}
