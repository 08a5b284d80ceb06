/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets of disk images share: going through a disk that may say that it is of any size. */
#ifndef AMIWRIGHT_TESTS_FUZZ_DISK_H
#define AMIWRIGHT_TESTS_FUZZ_DISK_H

#include <stdlib.h>

#include "base/dev.h"
#include "base/num.h"
#include "base/zero.h"

/* For what must hold whatever the input is. */
static inline void check(bool ok)
{
	if (!ok)
		abort();
}

/* The extents lie in order without gaps over what was read, and what is no data is zeros. */
static inline void check_extents(const struct extent_list *list, const uint8_t *buf, uint64_t off, size_t len)
{
	uint64_t at = off;

	for (size_t i = 0; i < list->nr; i++) {
		const struct extent *e = &list->items[i];

		check(e->off == at);
		at += e->len;
		check(e->kind == EXTENT_DATA || zero_all(buf + (e->off - off), (size_t)e->len));
	}
	check(at == off + len);
}

/* Looks at len bytes of the disk, for which buf has room. */
typedef void (*disk_step_fn)(struct dev *dev, uint64_t off, size_t len, uint8_t *buf);

/* Steps of that many bytes from both ends: at most max of them from each. */
static inline void disk_steps(struct dev *dev, size_t step, uint64_t max, disk_step_fn fn)
{
	uint64_t steps = num_div_up(dev->size, step), some = MIN(steps, max);
	uint8_t *buf = malloc(step);

	check(buf != NULL);
	for (uint64_t i = 0; i < steps; i = i + 1 == some && steps - some > i ? steps - some : i + 1)
		fn(dev, i * step, (size_t)MIN(step, dev->size - i * step), buf);
	free(buf);
}

#endif
