/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a disk as text. */
#ifndef AMIWRIGHT_BUILDER_MAP_TEXT_H
#define AMIWRIGHT_BUILDER_MAP_TEXT_H

#include "base/buf.h"
#include "builder/map.h"

/* What the text is for. */
struct map_screen {
	bool color;   /* ANSI sequences may be used */
	bool unicode; /* UTF-8 is understood; else ASCII alone */
	int width;    /* columns */
};

/*
 * A block of lines for each partition and each gap of the disk, in one scale, with a legend. disk: the
 * document whose partitions are drawn. Kinds differ in their characters, so colours are never needed.
 */
int map_text(const struct map *m, const struct json *disk, const struct map_screen *screen,
	struct buf *out, struct error *err) MUST_CHECK;

#endif
