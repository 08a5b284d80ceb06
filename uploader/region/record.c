/* SPDX-License-Identifier: Apache-2.0 */
/* See record.h. */
#include "uploader/region/record.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"

static int save(const char *path, const struct json *doc, size_t max, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(max);

	if (json_write(doc, true, &text, err) < 0)
		return -1;
	return file_write_atomic(path, text.data, text.len, 0644, false, err);
}

static struct json *read_back(const char *path, size_t max, const char *initial)
{
	CLEANUP_BUF struct buf text = BUF_INIT(max);

	if (access(path, F_OK) < 0)
		return initial ? json_parse(initial, strlen(initial), path, NULL) : NULL;
	if (file_read(path, &text, NULL) < 0)
		return NULL;
	return json_parse(buf_str(&text), text.len, path, NULL);
}

int record_save(const char *path, struct json **doc, size_t max, const char *initial,
	struct error *err)
{
	struct json *old;

	if (save(path, *doc, max, err) == 0)
		return 0;
	old = read_back(path, max, initial);
	if (old) {
		json_free(*doc);
		*doc = old;
	}
	return -1;
}
