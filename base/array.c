/* SPDX-License-Identifier: Apache-2.0 */
#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { FIRST_ITEMS = 16 };

int array_grow(void *items, size_t item_size, size_t need, size_t *alloc, const char *what, struct error *err)
{
	size_t want;
	void *grown;

	if (need <= *alloc)
		return 0;
	want = *alloc > SIZE_MAX / 2 ? need : MAX(2 * *alloc, FIRST_ITEMS);
	want = MAX(want, need);
	/* Copied, as a pointer to something else must not be read or written as a void *. */
	memcpy(&grown, items, sizeof(grown));
	grown = want <= SIZE_MAX / item_size ? realloc(grown, want * item_size) : NULL;
	if (!grown)
		return error_nomem(err, what);
	memcpy(items, &grown, sizeof(grown));
	*alloc = want;
	return 0;
}
