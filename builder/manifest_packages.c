/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which Debian packages a tree holds, from dpkg's own record: paragraphs of "Field: value" lines.
 */
#include "builder/manifest.h"

#include <string.h>

#include "fs/tree_file.h"

enum { STATUS_MAX = 64 << 20 };

/*
 * The value of `field` in one paragraph (len bytes), without its line's end; NULL when it is not
 * there.
 */
static const char *field(const char *paragraph, size_t len, const char *name, size_t *value_len)
{
	const char *end = paragraph + len, *line = paragraph;
	size_t name_len = strlen(name);

	while (line < end) {
		const char *eol = memchr(line, '\n', (size_t)(end - line));
		size_t line_len = (size_t)((eol ? eol : end) - line);

		if (line_len > name_len && !strncmp(line, name, name_len) && line[name_len] == ':') {
			const char *value = line + name_len + 1;

			while (*value == ' ')
				value++;
			*value_len = line_len - (size_t)(value - line);
			return value;
		}
		line += line_len + 1;
	}
	return NULL;
}

static int set_field(struct json *out, const char *key, const char *value, size_t len,
	struct error *err)
{
	CLEANUP_FREE char *text = buf_strf(err, "%.*s", (int)len, value ? value : "");

	return text ? json_set_str(out, key, text, err) : -1;
}

static int add_package(struct json *list, const char *paragraph, size_t len, struct error *err)
{
	static const char installed[] = "ok installed";
	const size_t installed_len = sizeof(installed) - 1;
	CLEANUP(json_cleanup) struct json *out = NULL;
	size_t name_len = 0, status_len = 0, version_len = 0, arch_len = 0;
	const char *name = field(paragraph, len, "Package", &name_len);
	const char *status = field(paragraph, len, "Status", &status_len);
	const char *version = field(paragraph, len, "Version", &version_len);
	const char *arch = field(paragraph, len, "Architecture", &arch_len);

	/* "install ok installed", "hold ok installed"; not "deinstall ok config-files" */
	if (!name || !status || status_len < installed_len ||
		memcmp(status + status_len - installed_len, installed, installed_len))
		return 0;
	out = json_new_object(err);
	if (!out || set_field(out, "name", name, name_len, err) < 0 ||
		set_field(out, "version", version, version_len, err) < 0 ||
		set_field(out, "architecture", arch, arch_len, err) < 0)
		return -1;
	return json_append(list, steal_ptr(&out), err);
}

struct json *manifest_parse_packages(const char *text, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	while (list && *text) {
		const char *end = strstr(text, "\n\n");
		size_t len = end ? (size_t)(end - text) + 1 : strlen(text);

		if (add_package(list, text, len, err) < 0)
			return NULL;
		text += len;
		text += strspn(text, "\n");
	}
	return steal_ptr(&list);
}

struct json *manifest_packages(const struct tree *t, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(STATUS_MAX);
	bool found;

	if (tree_read_file(t, "/var/lib/dpkg/status", STATUS_MAX - 1, &text, &found, err) < 0)
		return NULL;
	return found ? manifest_parse_packages(buf_str(&text), err) : json_new_array(err);
}
