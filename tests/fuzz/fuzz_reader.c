/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a disk or a file system that `inspect` looks into: facts, a map and pictures come out,
 * or an error of its kind with a text; and it ends soon.
 */
#include "tests/fuzz/replay.h"

#include <stdlib.h>
#include <string.h>

#include "builder/map_svg.h"
#include "builder/map_text.h"
#include "builder/report.h"
#include "fs/probe.h"
#include "fs/reader.h"
#include "tests/lib/bytesdev.h"

enum { INPUT_MAX = 1 << 20, READ_MAX = 64 << 10 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_failure(const struct error *err)
{
	check(err->kind != ERROR_NONE && err->kind != ERROR_BUG && err->text[0]);
}

static int look(void *arg, const char *name, struct error *err)
{
	struct reader *r = arg;
	CLEANUP_BUF struct buf content = BUF_INIT(READ_MAX + 1);
	CLEANUP_FREE char *path = buf_strf(err, "/%s", name);
	enum reader_kind kind;
	uint64_t size;

	check(name[0] && !strchr(name, '/'));
	if (!path || r->ops->stat(r, path, &kind, &size, err) < 0 ||
		r->ops->read(r, path, 0, READ_MAX, &content, err) < 0)
		return -1;
	check(content.len <= READ_MAX && (kind == READER_FILE || !content.len));
	return 0;
}

static void walk_files(struct dev *dev)
{
	struct error err = ERROR_INIT;
	struct reader *r = NULL;
	struct probe probe;

	if (probe_dev(dev, &probe, &err) < 0 || reader_open(dev, probe.type, &r, &err) < 0)
		check_failure(&err);
	if (r && r->ops->list(r, "/", look, r, &err) < 0)
		check_failure(&err);
	reader_close(r);
}

static void draw(struct dev *dev, const struct json *doc)
{
	static const struct map_screen screen = {true, true, 60};
	CLEANUP_BUF struct buf text = BUF_INIT(0), picture = BUF_INIT(0);
	struct error err = ERROR_INIT;
	struct map map;
	const struct map_svg_disk disk = {"fuzz", &map, doc};

	check(map_make(&map, dev, &err) == 0);
	check(map_text(&map, doc, &screen, &text, &err) == 0 && text.len);
	check(map_svg(&disk, 1, &picture, &err) == 0 && picture.len);
	map_release(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_INIT;
	struct bytesdev m;
	struct image image = {.format = "raw"};
	struct json *doc;

	if (size > INPUT_MAX)
		return 0;
	bytesdev_init(&m, data, size);
	image.dev = &m.dev;
	walk_files(&m.dev);
	doc = report_image_json(&image, NULL, &err);
	if (doc)
		draw(&m.dev, doc);
	else
		check_failure(&err);
	json_free(doc);
	return 0;
}
