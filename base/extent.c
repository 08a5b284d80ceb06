/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The extent list: ordered, without gaps, and as short as it can be, because neighbours of one
 * kind are merged on the way in.
 */
#include "base/extent.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/array.h"

void extent_list_release(struct extent_list *list)
{
	free(list->items);
	*list = (struct extent_list)EXTENT_LIST_INIT;
}

void extent_list_clear(struct extent_list *list)
{
	list->nr = 0;
}

int extent_list_add(struct extent_list *list, uint64_t off, uint64_t len, enum extent_kind kind,
	struct error *err)
{
	struct extent *last = list->nr ? &list->items[list->nr - 1] : NULL;

	if (len == 0)
		return 0;
	if (len > UINT64_MAX - off || (last && last->off + last->len != off))
		return error_set(err, ERROR_BUG, 0,
			"extent of %" PRIu64 " bytes at %" PRIu64 " does not continue its list",
			len, off);
	if (last && last->kind == kind) {
		last->len += len;
		return 0;
	}
	if (ARRAY_GROW(list->items, list->nr + 1, list->alloc, "a list of extents", err) < 0)
		return -1;
	list->items[list->nr++] = (struct extent){.off = off, .len = len, .kind = kind};
	return 0;
}
