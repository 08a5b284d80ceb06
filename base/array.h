/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays that grow, and places in sorted ones. One that grows is a pointer to the items, how many are in use and how
 * many there is memory for: fields of whoever owns the array, who frees it.
 *
 *	struct { struct thing *items; size_t nr, alloc; } list;
 *
 *	if (ARRAY_GROW(list.items, list.nr + 1, list.alloc, "a list of things", err) < 0)
 *		return -1;
 *	list.items[list.nr++] = thing;
 */
#ifndef AMIWRIGHT_BASE_ARRAY_H
#define AMIWRIGHT_BASE_ARRAY_H

#include "base/error.h"

#include <stddef.h>

/*
 * Memory for `need` items at least (content of the new ones undefined); `alloc`, a size_t, is how many there is memory
 * for, and at least doubles, so that adding one by one costs a constant on average. items may be NULL with alloc 0.
 * ERROR_NOMEM, of `what`: then both are as they were.
 */
#define ARRAY_GROW(items, need, alloc, what, err) \
	array_grow(&(items), sizeof(*(items)), need, &(alloc), what, err)

/* What ARRAY_GROW calls: at items is a pointer to items of item_size bytes. */
int array_grow(void *items, size_t item_size, size_t need, size_t *alloc, const char *what, struct error *err)
	MUST_CHECK;

/*
 * The number of the last of nr items whose field is not above value, by halving: items are in ascending order of it. 0
 * when it is above in all of them, or nr is 0. field may be a path ("refs[0].off"); value is evaluated again and again.
 */
#define ARRAY_LAST_UP_TO(items, nr, field, value)                \
	({                                                       \
		size_t low_ = 0, high_ = (nr);                   \
		while (high_ - low_ > 1) {                       \
			size_t mid_ = low_ + (high_ - low_) / 2; \
			if ((items)[mid_].field <= (value))      \
				low_ = mid_;                     \
			else                                     \
				high_ = mid_;                    \
		}                                                \
		low_;                                            \
	})

#endif
