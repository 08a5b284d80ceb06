/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of disks as a picture (SVG 1.1): for each disk its partitions to scale, a list of them, and
 * a cell for each stretch. Light and dark by the viewer's choice. The same documents and maps give the
 * same bytes.
 */
#ifndef AMIWRIGHT_BUILDER_MAP_SVG_H
#define AMIWRIGHT_BUILDER_MAP_SVG_H

#include "base/buf.h"
#include "builder/map.h"

struct map_svg_disk {
	const char *name;        /* what it is called: a file's name, a device */
	const struct map *map;
	const struct json *disk; /* its document */
};

/* XML in UTF-8; texts that XML does not allow are replaced, long ones cut. */
int map_svg(const struct map_svg_disk *disks, size_t nr, struct buf *out, struct error *err) MUST_CHECK;

#endif
