/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures of disks.
 *
 *   ┌ name ─────────────────────────────┐
 *   │ facts                             │
 *   │ ▐ bar: partitions to scale      ▌ │  BAR
 *   │ ■ 1 name  type  file system  size │  ROW for each partition
 *   │ ░▒▓█ cells                        │  PITCH for each line
 *   │ legend                            │
 *   └───────────────────────────────────┘
 *
 * Cells of one look that stand side by side are one rectangle; a pattern of lines over all of them
 * makes the cells. So a picture stays small whatever the disk is.
 */
#include "builder/map_svg.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "builder/map_draw.h"

enum {
	WIDTH = 960, EDGE = 32, INNER = WIDTH - 2 * EDGE,
	HEAD = 84,      /* name and facts */
	BAR = 48, ROW = 26, PITCH = 12,
	CELL = 8, COLUMNS = INNER / CELL, LINES = 26,
	HUES = 7,
	LEGEND = 56,
};

/* Of the partitions in turn: none of them near the orange of what changed. */
static const char *const light[HUES] = {"#2f6feb", "#0a8f7d", "#8250df", "#3f8f2f", "#0a7ea8", "#b93a8f",
	"#7a7a12"};
static const char *const dark[HUES] = {"#6ea0ff", "#2dd4bf", "#b99bff", "#7bd06a", "#4cc2f1", "#f28bcd",
	"#d4d44e"};

struct picture {
	struct buf *out;
	const struct map_svg_disk *d;
	struct map_regions regions;
	int y;
};

/* At most `max` characters, as XML text. */
static int add_text(struct buf *out, const char *text, size_t max, struct error *err)
{
	size_t nr = 0;

	for (const char *c = text; *c; c += text_character(c) ? text_character(c) : 1) {
		const char *as = !text_plain_character(c) ? "?" : *c == '&' ? "&amp;" : *c == '<' ? "&lt;" :
				 *c == '>' ? "&gt;" : *c == '"' ? "&quot;" : NULL;

		if (++nr > max)
			return buf_add_str(out, "…", err);
		if ((as ? buf_add_str(out, as, err) : buf_add(out, c, text_character(c), err)) < 0)
			return -1;
	}
	return 0;
}

static int add_style(struct buf *out, struct error *err)
{
	if (buf_add_str(out,
		    "<style>\n"
		    "text{font-family:system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2328}\n"
		    ".h{font-size:21px;font-weight:600}.t{font-size:13px}.m{fill:#59636e}\n"
		    ".paper{fill:#fff;stroke:#d1d9e0}.none{fill:#eef1f4}.zero{fill:#bcc5ce}.gap{fill:#6e7781}\n"
		    ".changed{fill:#e8590c}.line{stroke:#fff;fill:none}.track{fill:#dfe4e9}.bad{fill:#c1121f}\n"
		    ".q1{fill-opacity:.35}.q2{fill-opacity:.55}.q3{fill-opacity:.78}\n", err) < 0)
		return -1;
	for (int i = 0; i < HUES; i++)
		if (buf_addf(out, err, ".p%d{fill:%s}", i, light[i]) < 0)
			return -1;
	if (buf_add_str(out,
		    "\n@media (prefers-color-scheme:dark){\n"
		    "text{fill:#e6edf3}.m{fill:#9aa4af}.paper{fill:#0d1117;stroke:#3d444d}\n"
		    ".none{fill:#1b2129}.zero{fill:#4a535d}.gap{fill:#8b949e}.changed{fill:#ff9350}\n"
		    ".line{stroke:#0d1117}.track{fill:#2a313a}.bad{fill:#ff7b72}\n", err) < 0)
		return -1;
	for (int i = 0; i < HUES; i++)
		if (buf_addf(out, err, ".p%d{fill:%s}", i, dark[i]) < 0)
			return -1;
	return buf_addf(out, err,
		"\n}\n</style>\n<defs><pattern id=\"grid\" width=\"%d\" height=\"%d\" patternUnits=\"userSpaceOnUse\">"
		"<path class=\"line\" stroke-width=\"1.5\" d=\"M0 0V%d\"/><path class=\"line\" stroke-width=\"3\" "
		"d=\"M0 0H%d\"/></pattern></defs>\n", CELL, PITCH, PITCH, CELL);
}

/* The class of its colour. */
static const char *hue(const struct map_region *r)
{
	static const char *const classes[HUES] = {"p0", "p1", "p2", "p3", "p4", "p5", "p6"};

	return r->part ? classes[(r->number - 1) % HUES] : "gap";
}

static int open_text(struct picture *p, int x, int y, const char *class, const char *more,
	struct error *err)
{
	return buf_addf(p->out, err, "<text x=\"%d\" y=\"%d\" class=\"%s\"%s>", x, y, class, more);
}

static int text_at(struct picture *p, int x, int y, const char *class, const char *text, size_t max,
	struct error *err)
{
	return open_text(p, x, y, class, "", err) < 0 || add_text(p->out, text, max, err) < 0 ?
		       -1 :
		       buf_add_str(p->out, "</text>\n", err);
}

static int add_fact(struct picture *p, const char *text, struct error *err)
{
	return !text || !*text ? 0 :
	       buf_add_str(p->out, " · ", err) < 0 ? -1 : add_text(p->out, text, 48, err);
}

/* What it is, in one line; also for those who do not see the picture. */
static int add_facts(struct picture *p, struct error *err)
{
	const struct json *d = p->d->disk, *kernels = json_get(d, "kernels");
	const char *table = json_get_str(d, "table", NULL), *variant = json_get_str(d, "variant", "");
	char size[NUM_SIZE_TEXT];

	num_format_size(size, p->d->map->size);
	if (buf_addf(p->out, err, "%s", json_get_str(d, "format", "planned disk")) < 0 ||
		(*variant && buf_addf(p->out, err, " (%s)", variant) < 0) ||
		add_fact(p, size, err) < 0 || add_fact(p, table ? table : "no partition table", err) < 0 ||
		add_fact(p, json_get_str(json_get(d, "os"), "name", ""), err) < 0 ||
		add_fact(p, json_get_str(d, "architecture", ""), err) < 0 ||
		(kernels && json_length(kernels) && add_fact(p, json_text(json_at(kernels, 0), ""), err) < 0))
		return -1;
	return add_fact(p, json_get_str(d, "boot_mode", ""), err);
}

static int add_head(struct picture *p, struct error *err)
{
	if (text_at(p, EDGE, p->y + 40, "h", p->d->name, 60, err) < 0 ||
		open_text(p, EDGE, p->y + 64, "t m", "", err) < 0 || add_facts(p, err) < 0 ||
		buf_add_str(p->out, "</text>\n", err) < 0)
		return -1;
	p->y += HEAD;
	return 0;
}

/* A region in the bar, its used part stronger; its name when there is room. */
static int add_bar_piece(struct picture *p, const struct map_region *r, int x, int width,
	struct error *err)
{
	struct map_sum sum = map_sum(p->d->map, r->off, r->len);
	int used = sum.total ? (int)(sum.count[MAP_USED] * (uint64_t)width / sum.total) : 0;
	const char *name = json_get_str(r->part, "name", "");

	if (buf_addf(p->out, err,
		    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"%s\" fill-opacity=\"%s\"/>\n", x,
		    p->y, MAX(width - 1, 1), BAR - 16, hue(r), r->part ? ".28" : ".12") < 0)
		return -1;
	if (used && buf_addf(p->out, err,
			    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"6\" class=\"%s\"/>\n", x,
			    p->y + BAR - 22, MAX(MIN(used, width - 1), 1), hue(r)) < 0)
		return -1;
	if (!r->part || width < 24)
		return 0;
	if (open_text(p, x + 8, p->y + 18, "t", "", err) < 0 ||
		buf_addf(p->out, err, "%zu ", r->number) < 0 ||
		add_text(p->out, width > 60 ? name : "", (size_t)MAX(width - 30, 8) / 8, err) < 0)
		return -1;
	return buf_add_str(p->out, "</text>\n", err);
}

/* To scale, and nothing so small that it cannot be seen. */
static int add_bar(struct picture *p, struct error *err)
{
	enum { LEAST = 4 };
	const uint64_t size = MAX(p->d->map->size, 1);
	int room = MAX(INNER - LEAST * (int)p->regions.nr, 0);
	uint64_t done = 0;

	for (size_t i = 0; i < p->regions.nr; i++) {
		const struct map_region *r = &p->regions.items[i];
		int from = (int)(done * (uint64_t)room / size);
		int to = (int)((done + r->len) * (uint64_t)room / size);

		if (add_bar_piece(p, r, EDGE + LEAST * (int)i + from, LEAST + to - from, err) < 0)
			return -1;
		done += r->len;
	}
	p->y += BAR;
	return 0;
}

static int add_usage(struct picture *p, const struct json *fs, const char *class, struct error *err)
{
	enum { X = 700, LONG = 100 };
	int64_t size = json_get_int(fs, "size", 0), used = json_get_int(fs, "used", -1);
	int percent = size > 0 ? (int)(used / MAX(size / LONG, 1)) : 0;
	char has[NUM_SIZE_TEXT];
	CLEANUP_FREE char *text = NULL;

	if (json_get(fs, "damage"))
		return text_at(p, X, p->y + 17, "t bad", "damaged", 20, err);
	if (json_get(fs, "unread"))
		return text_at(p, X, p->y + 17, "t m", "not read", 20, err);
	if (size <= 0 || used < 0 || used > size)
		return 0;
	if (buf_addf(p->out, err,
		    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"8\" rx=\"4\" class=\"track\"/>"
		    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"8\" rx=\"4\" class=\"%s\"/>\n", X,
		    p->y + 8, LONG, X, p->y + 8, MAX(percent, 4), class) < 0)
		return -1;
	text = buf_strf(err, "%s used", num_format_size(has, (uint64_t)used));
	return text ? text_at(p, X + LONG + 12, p->y + 17, "t m", text, 20, err) : -1;
}

/* A region with a file system: a partition, or the whole disk. */
static int add_row(struct picture *p, const struct map_region *r, const struct json *fs, struct error *err)
{
	const char *type = json_get_str(r->part, "type", NULL), *label = json_get_str(fs, "label", "");
	char size[NUM_SIZE_TEXT], number[24] = "";

	if (r->part)
		snprintf(number, sizeof(number), "%zu", r->number);
	if (buf_addf(p->out, err, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" rx=\"3\" class=\"%s\"/>\n",
		    EDGE, p->y + 6, hue(r)) < 0 ||
		text_at(p, EDGE + 22, p->y + 17, "t m", number, 4, err) < 0 ||
		text_at(p, EDGE + 46, p->y + 17, "t", json_get_str(r->part, "name", ""), 18, err) < 0 ||
		text_at(p, 225, p->y + 17, "t m", type ? type : json_get_str(r->part, "type_guid", ""), 18,
			err) < 0 ||
		text_at(p, 380, p->y + 17, "t", json_get_str(fs, "type", ""), 14, err) < 0 ||
		text_at(p, 480, p->y + 17, "t m", label, 14, err) < 0 ||
		open_text(p, 670, p->y + 17, "t", " text-anchor=\"end\"", err) < 0 ||
		buf_addf(p->out, err, "%s</text>\n", num_format_size(size, r->len)) < 0)
		return -1;
	if (fs && add_usage(p, fs, hue(r), err) < 0)
		return -1;
	p->y += ROW;
	return 0;
}

/* A volume within a region's file system, in that one's colour; where it lies is not known. */
static int add_volume(struct picture *p, const struct map_region *r, const struct json *v, struct error *err)
{
	const struct json *fs = json_get(v, "filesystem");
	int64_t bytes = json_get_int(v, "size", 0);
	char size[NUM_SIZE_TEXT] = "";

	if (bytes > 0)
		num_format_size(size, (uint64_t)bytes);
	if (text_at(p, EDGE + 62, p->y + 17, "t", json_get_str(v, "name", "inside"), 32, err) < 0 ||
		text_at(p, 380, p->y + 17, "t", json_get_str(fs, "type", ""), 14, err) < 0 ||
		text_at(p, 480, p->y + 17, "t m", json_get_str(fs, "label", ""), 14, err) < 0 ||
		open_text(p, 670, p->y + 17, "t", " text-anchor=\"end\"", err) < 0 ||
		buf_addf(p->out, err, "%s</text>\n", size) < 0 ||
		add_usage(p, json_get(v, "unread") ? v : fs, hue(r), err) < 0)
		return -1;
	p->y += ROW;
	return 0;
}

static int add_volumes(struct picture *p, const struct map_region *r, const struct json *fs, struct error *err)
{
	const struct json *list = json_get(fs, "volumes");

	for (size_t i = 0; list && i < json_length(list); i++) {
		const struct json *v = json_at(list, i);

		if (add_volume(p, r, v, err) < 0 || add_volumes(p, r, json_get(v, "filesystem"), err) < 0)
			return -1;
	}
	return 0;
}

static int add_rows(struct picture *p, struct error *err)
{
	const struct json *whole = json_get(p->d->disk, "filesystem");

	for (size_t i = 0; i < p->regions.nr; i++) {
		const struct map_region *r = &p->regions.items[i];
		const struct json *fs = r->part ? json_get(r->part, "filesystem") : whole;

		if (((r->part || fs) && add_row(p, r, fs, err) < 0) || add_volumes(p, r, fs, err) < 0)
			return -1;
	}
	if (json_get_str(p->d->disk, "damage", NULL)) {
		if (text_at(p, EDGE, p->y + 17, "t bad", json_get_str(p->d->disk, "damage", ""), 110, err) < 0)
			return -1;
		p->y += ROW;
	}
	p->y += 14;
	return 0;
}

static const struct map_region *region_at(const struct picture *p, uint64_t off)
{
	const struct map_regions *r = &p->regions;

	for (size_t i = 0; i + 1 < r->nr; i++)
		if (off < r->items[i].off + r->items[i].len)
			return &r->items[i];
	return &r->items[r->nr - 1];
}

/* The look of the cell that begins at off. */
static void cell_class(const struct picture *p, uint64_t off, uint64_t bytes, char class[16])
{
	struct map_sum sum = map_sum(p->d->map, off, bytes);
	unsigned quarters = map_quarters(&sum);

	if (sum.changed)
		snprintf(class, 16, "changed");
	else if (quarters)
		snprintf(class, 16, "%s q%u", hue(region_at(p, off + bytes / 2)), quarters);
	else
		snprintf(class, 16, "%s", sum.count[MAP_ZERO] ? "zero" : "none");
}

static int add_line(struct picture *p, uint64_t first, uint64_t end, uint64_t bytes, struct error *err)
{
	char class[16], next[16];

	for (uint64_t i = first, nr; i < end; i += nr) {
		cell_class(p, i * bytes, bytes, class);
		for (nr = 1; i + nr < end; nr++) {
			cell_class(p, (i + nr) * bytes, bytes, next);
			if (strcmp(class, next) != 0)
				break;
		}
		if (buf_addf(p->out, err, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" class=\"%s\"/>\n",
			    (int)(i - first) * CELL, p->y, (int)nr * CELL, PITCH, class) < 0)
			return -1;
	}
	p->y += PITCH;
	return 0;
}

/* In coordinates of their own, so that the grid falls on the cells. */
static int add_cells(struct picture *p, uint64_t *bytes, struct error *err)
{
	const uint64_t size = p->d->map->size;
	uint64_t nr;
	int top = p->y;

	*bytes = map_cell_bytes(size, (uint64_t)COLUMNS * LINES);
	nr = num_div_up(size, *bytes);
	p->y = 0;
	if (buf_addf(p->out, err, "<g transform=\"translate(%d %d)\" shape-rendering=\"crispEdges\">\n", EDGE,
		    top) < 0)
		return -1;
	for (uint64_t first = 0; first < nr; first += COLUMNS)
		if (add_line(p, first, MIN(first + COLUMNS, nr), *bytes, err) < 0)
			return -1;
	if (buf_addf(p->out, err, "<rect width=\"%d\" height=\"%d\" fill=\"url(#grid)\"/>\n</g>\n", INNER, p->y) < 0)
		return -1;
	p->y += top;
	return 0;
}

static int add_sample(struct picture *p, int *x, const char *class, const char *what, struct error *err)
{
	if (buf_addf(p->out, err, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" rx=\"2\" class=\"%s\"/>\n", *x,
		    p->y + 18, class) < 0 ||
		text_at(p, *x + 18, p->y + 29, "t m", what, 40, err) < 0)
		return -1;
	*x += 18 + 8 * (int)strlen(what) + 20;
	return 0;
}

static int add_legend(struct picture *p, uint64_t cell, struct error *err)
{
	const struct map *m = p->d->map;
	char size[NUM_SIZE_TEXT], changed[NUM_SIZE_TEXT];
	CLEANUP_FREE char *what = buf_strf(err, "a cell is %s", num_format_size(size, cell));
	CLEANUP_FREE char *differs = buf_strf(err, "changed (%s)",
		num_format_size(changed, m->changed * MAP_UNIT));
	int x = EDGE;

	if (!what || !differs || add_sample(p, &x, "p0", "used", err) < 0 ||
		add_sample(p, &x, "p0 q1", "partly used", err) < 0 ||
		add_sample(p, &x, "zero", "zeros", err) < 0 || add_sample(p, &x, "none", "unused", err) < 0 ||
		(m->compared && add_sample(p, &x, "changed", differs, err) < 0) ||
		open_text(p, WIDTH - EDGE, p->y + 29, "t m", " text-anchor=\"end\"", err) < 0 ||
		buf_addf(p->out, err, "%s</text>\n", what) < 0)
		return -1;
	p->y += LEGEND;
	return 0;
}

static int add_disk(struct picture *p, struct error *err)
{
	uint64_t cell;
	int ret = map_regions_make(&p->regions, p->d->disk, p->d->map->size, err);

	if (ret == 0)
		ret = add_head(p, err);
	if (ret == 0 && p->regions.nr)
		ret = add_bar(p, err) < 0 || add_rows(p, err) < 0 || add_cells(p, &cell, err) < 0 ||
				      add_legend(p, cell, err) < 0 ?
			      -1 :
			      0;
	map_regions_release(&p->regions);
	return ret;
}

static int add_description(struct picture *p, size_t nr, struct error *err)
{
	if (buf_add_str(p->out, "<title id=\"title\">Map of ", err) < 0 ||
		add_text(p->out, p->d->name, 60, err) < 0 ||
		buf_addf(p->out, err, "%s</title>\n<desc id=\"desc\">", nr > 1 ? " and further disks" : "") < 0)
		return -1;
	for (size_t i = 0; i < nr; i++, p->d++) {
		const struct map *m = p->d->map;
		char used[NUM_SIZE_TEXT];

		if ((i && buf_add_str(p->out, "; ", err) < 0) || add_facts(p, err) < 0 ||
			buf_addf(p->out, err, " · %s used",
				num_format_size(used, m->count[MAP_USED] * MAP_UNIT)) < 0)
			return -1;
	}
	p->d -= nr;
	return buf_add_str(p->out, "</desc>\n", err);
}

int map_svg(const struct map_svg_disk *disks, size_t nr, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf body = BUF_INIT(0);
	struct picture p = {.out = &body, .d = disks};

	for (size_t i = 0; i < nr; i++) {
		p.d = &disks[i];
		if (add_disk(&p, err) < 0)
			return -1;
	}
	p.out = out;
	p.d = disks;
	if (buf_addf(out, err,
		    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
		    "role=\"img\" aria-labelledby=\"title desc\">\n", WIDTH, p.y, WIDTH, p.y) < 0 ||
		(nr && add_description(&p, nr, err) < 0) || add_style(out, err) < 0 ||
		buf_addf(out, err, "<rect x=\".5\" y=\".5\" width=\"%d\" height=\"%d\" rx=\"10\" class=\"paper\"/>\n",
			WIDTH - 1, MAX(p.y, 1) - 1) < 0 ||
		buf_add(out, body.data ? body.data : "", body.len, err) < 0)
		return -1;
	return buf_add_str(out, "</svg>\n", err);
}
