/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checked door to sources: an impossible range or a missing slot never reaches an
 * implementation.
 */
#include "base/source.h"

#include <errno.h>
#include <inttypes.h>

int source_pread(
	struct source *src, uint64_t id, void *buf, size_t len, uint64_t off, struct error *err)
{
	if (len == 0)
		return 0;
	if (len > UINT64_MAX - off)
		return error_set(err, ERROR_BUG, 0,
			"%s source: %zu bytes at %" PRIu64 " are past the end of the numbers",
			src->ops->name, len, off);
	return src->ops->pread(src, id, buf, len, off, err);
}

int source_open(struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err)
{
	*fd = -1;
	*base = 0;
	if (!src->ops->open)
		return error_set(err, ERROR_INPUT, ENOTSUP, "%s source has no descriptor to give",
			src->ops->name);
	return src->ops->open(src, id, fd, base, err);
}

void source_free(struct source *src)
{
	if (src && src->ops->free)
		src->ops->free(src);
}
