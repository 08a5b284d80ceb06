/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a disk as lines of cells. */
#include "builder/map_text.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "builder/map_draw.h"

enum { LABEL = 26, ROWS = 14, COLUMNS_MIN = 16, COLUMNS_MAX = 128 };

/* used by quarters, zero, unused, changed */
enum glyph { USED_1, USED_2, USED_3, USED_4, ZERO, UNUSED, CHANGED, GLYPHS };

static const char *const unicode_glyphs[GLYPHS] = {"░", "▒", "▓", "█", "·", " ", "◆"};
static const char *const ascii_glyphs[GLYPHS] = {"-", "+", "*", "#", ".", " ", "!"};
static const char *const colors[GLYPHS] = {"\033[34m", "\033[34m", "\033[34m", "\033[34m", "\033[36m", "",
	"\033[1;33m"};

struct drawing {
	const struct map *m;
	const struct map_screen *screen;
	struct buf *out;
	uint64_t cell;    /* bytes */
	unsigned columns;
};

static enum glyph glyph_of(const struct map_sum *sum)
{
	if (sum->changed)
		return CHANGED;
	if (sum->count[MAP_USED])
		return (enum glyph)(USED_1 + map_quarters(sum) - 1);
	return sum->count[MAP_ZERO] ? ZERO : UNUSED;
}

static const char *text_of(const struct drawing *d, enum glyph g)
{
	return d->screen->unicode ? unicode_glyphs[g] : ascii_glyphs[g];
}

static const char *color_of(const struct drawing *d, enum glyph g)
{
	return d->screen->color ? colors[g] : "";
}

static const char *edge(const struct drawing *d)
{
	return d->screen->unicode ? "│" : "|";
}

/* One line of cells of a region, from cell number `first` of it on. */
static int add_cells(struct drawing *d, const struct map_region *r, uint64_t first, struct error *err)
{
	const char *now = "";

	if (buf_add_str(d->out, edge(d), err) < 0)
		return -1;
	for (uint64_t i = first; i < first + d->columns; i++) {
		uint64_t off = i * d->cell;
		struct map_sum sum;
		enum glyph g = UNUSED;

		if (off >= r->len)
			break;
		sum = map_sum(d->m, r->off + off, MIN(d->cell, r->len - off));
		g = glyph_of(&sum);
		if (strcmp(now, color_of(d, g)) != 0) {
			if ((*now && buf_add_str(d->out, "\033[0m", err) < 0) ||
				buf_add_str(d->out, color_of(d, g), err) < 0)
				return -1;
			now = color_of(d, g);
		}
		if (buf_add_str(d->out, text_of(d, g), err) < 0)
			return -1;
	}
	return buf_addf(d->out, err, "%s%s\n", *now ? "\033[0m" : "", edge(d));
}

/* What stands before the cells: number and size, name or type. */
static void label(const struct map_region *r, char line[LABEL * 4 + 1])
{
	const struct json *fs = json_get(r->part, "filesystem");
	const char *name = json_get_str(r->part, "name", "");
	char size[NUM_SIZE_TEXT];
	char ascii[12];
	size_t len = 0;

	if (!*name)
		name = json_get_str(fs, "type", json_get_str(r->part, "type", ""));
	/* Columns of other letters are not known here. */
	for (; *name && len < sizeof(ascii) - 1; name++)
		if (((unsigned char)*name & 0xc0) != 0x80)
			ascii[len++] = *name >= ' ' && *name < 0x7f ? *name : '?';
	ascii[len] = '\0';
	num_format_size(size, r->len);
	if (r->part)
		snprintf(line, LABEL * 4 + 1, "%4zu %-11s %8s ", r->number, ascii, size);
	else
		snprintf(line, LABEL * 4 + 1, "%4s %-11s %8s ", "", "", size);
}

static int add_region(struct drawing *d, const struct map_region *r, struct error *err)
{
	uint64_t nr = num_div_up(r->len, d->cell);
	char text[LABEL * 4 + 1];

	label(r, text);
	for (uint64_t first = 0; first < nr; first += d->columns)
		if (buf_addf(d->out, err, "%-*s", LABEL, first ? "" : text) < 0 ||
			add_cells(d, r, first, err) < 0)
			return -1;
	return 0;
}

static int add_sample(struct drawing *d, enum glyph g, const char *what, struct error *err)
{
	const char *color = color_of(d, g);

	return buf_addf(d->out, err, "  %s%s%s %s", color, text_of(d, g), *color ? "\033[0m" : "", what);
}

static int add_legend(struct drawing *d, struct error *err)
{
	char cell[NUM_SIZE_TEXT];

	if (buf_addf(d->out, err, "  a cell is %s:", num_format_size(cell, d->cell)) < 0 ||
		add_sample(d, USED_4, "used", err) < 0 || add_sample(d, USED_1, "partly", err) < 0 ||
		add_sample(d, ZERO, "zero", err) < 0 || buf_add_str(d->out, "  blank unused", err) < 0)
		return -1;
	if (d->m->compared && add_sample(d, CHANGED, "changed", err) < 0)
		return -1;
	return buf_add_char(d->out, '\n', err);
}

int map_text(const struct map *m, const struct json *disk, const struct map_screen *screen,
	struct buf *out, struct error *err)
{
	int columns = MIN(MAX(screen->width - LABEL - 2, COLUMNS_MIN), COLUMNS_MAX);
	struct drawing d = {m, screen, out, 0, (unsigned)columns};
	struct map_regions regions;
	int ret = map_regions_make(&regions, disk, m->size, err);

	d.cell = map_cell_bytes(m->size, (uint64_t)columns * ROWS);
	for (size_t i = 0; ret == 0 && i < regions.nr; i++)
		ret = add_region(&d, &regions.items[i], err);
	map_regions_release(&regions);
	return ret < 0 ? -1 : add_legend(&d, err);
}
