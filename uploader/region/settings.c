/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: one small JSON file a Region, written whole at every change. */
#include "uploader/region/settings.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "uploader/region/record.h"

enum { SETTINGS_MAX = 256 * 1024 };

int settings_load(struct store *s, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/settings.json", s->dir);
	CLEANUP_BUF struct buf text = BUF_INIT(SETTINGS_MAX);

	if (!path)
		return -1;
	if (access(path, F_OK) < 0) {
		s->settings = json_new_object(err);
		return s->settings ? 0 : -1;
	}
	if (file_read(path, &text, err) < 0)
		return -1;
	s->settings = json_parse(buf_str(&text), text.len, path, err);
	return s->settings ? 0 : -1;
}

static int save(struct store *s, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/settings.json", s->dir);

	return path ? record_save(path, &s->settings, SETTINGS_MAX, "{}", err) : -1;
}

const char *settings_get(const struct store *s, const char *account, const char *key)
{
	const char *value = json_get_str(json_get(s->settings, account), key, "");

	return *value ? value : NULL;
}

int settings_set(struct store *s, const char *account, const char *key, const char *value,
	struct error *err)
{
	struct json *mine = json_get(s->settings, account);

	if (!mine) {
		if (json_set(s->settings, account, json_new_object(err), err) < 0)
			return -1;
		mine = json_get(s->settings, account);
	}
	if (json_set_str(mine, key, value ? value : "", err) < 0)
		return -1;
	return save(s, err);
}
