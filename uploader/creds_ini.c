/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI dialect of ~/.aws/credentials and ~/.aws/config: "[name]" or "[kind name]" sections, "key
 * = value" lines, comments with # or ; (after a value too, when a space stands before), and nested
 * maps: an empty "key =" followed by indented lines. Lines that are none of these are passed over,
 * as the SDKs do: a file that another tool reads must not be refused here.
 */
#include "uploader/creds_internal.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"

/* Some editors begin a file of UTF-8 with it. */
static const char *skip_mark(const char *text)
{
	return strncmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text;
}

struct span {
	const char *text;
	size_t len;
};

struct reader {
	const char *next;
	struct span line; /* without its newline */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
	while (s.len > 0 && is_blank(s.text[0])) {
		s.text++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.text[s.len - 1]))
		s.len--;
	return s;
}

static bool next_line(struct reader *r)
{
	if (!*r->next)
		return false;
	r->line.text = r->next;
	r->line.len = strcspn(r->next, "\n");
	r->next += r->line.len;
	if (*r->next)
		r->next++;
	return true;
}

static bool span_is(struct span s, const char *text, bool any_case)
{
	size_t len = strlen(text);

	if (s.len != len)
		return false;
	return any_case ? strncasecmp(s.text, text, len) == 0 : memcmp(s.text, text, len) == 0;
}

/* True for "[name]" or "[kind name]"; the name may stand in quotes. */
static bool section_is(struct span line, const char *kind, const char *name)
{
	const char *end = memchr(line.text, ']', line.len);
	struct span s = {line.text + 1, end ? (size_t)(end - line.text) - 1 : 0};

	if (!end)
		return false;
	s = trim(s);
	if (kind) {
		size_t len = strlen(kind);

		if (s.len <= len || memcmp(s.text, kind, len) != 0 || !is_blank(s.text[len]))
			return false;
		s = trim((struct span){s.text + len, s.len - len});
	}
	if (s.len >= 2 && (s.text[0] == '"' || s.text[0] == '\'') && s.text[s.len - 1] == s.text[0])
		s = (struct span){s.text + 1, s.len - 2};
	return span_is(s, name, false);
}

/* Cuts a comment that follows the value. */
static struct span value_of(struct span s)
{
	for (size_t i = 1; i < s.len; i++) {
		if ((s.text[i] == '#' || s.text[i] == ';') && is_blank(s.text[i - 1]))
			s.len = i;
	}
	return trim(s);
}

/* "key = value" into its two parts; false when the line is something else. */
static bool split(struct span line, struct span *key, struct span *value)
{
	const char *eq = memchr(line.text, '=', line.len);

	line = trim(line);
	if (!eq || line.len == 0 || line.text[0] == '#' || line.text[0] == ';')
		return false;
	*key = trim((struct span){line.text, (size_t)(eq - line.text)});
	*value = value_of((struct span){eq + 1, line.len - (size_t)(eq + 1 - line.text)});
	return true;
}

bool creds_ini_has(const char *text, const char *kind, const char *name)
{
	struct reader r = {.next = skip_mark(text)};

	while (next_line(&r)) {
		if (r.line.len > 0 && r.line.text[0] == '[' && section_is(r.line, kind, name))
			return true;
	}
	return false;
}

int creds_ini_get(const char *text, const char *kind, const char *name, const char *key,
	const char *sub, char **value, struct error *err)
{
	struct reader r = {.next = skip_mark(text)};
	struct span k, v, found = {NULL, 0};
	bool inside = false, map = false, nested = false; /* in an empty key's map; in that of `key` */

	while (next_line(&r)) {
		if (r.line.len == 0)
			continue;
		if (r.line.text[0] == '[') {
			inside = section_is(r.line, kind, name);
			map = nested = false;
			continue;
		}
		if (!inside || !split(r.line, &k, &v))
			continue;
		if (map && is_blank(r.line.text[0])) {
			if (nested && sub && span_is(k, sub, true))
				found = v;
			continue;
		}
		map = v.len == 0;
		nested = map && span_is(k, key, true);
		if (!sub && v.len > 0 && span_is(k, key, true))
			found = v;
	}
	*value = NULL;
	if (!found.text || found.len == 0)
		return 0;
	*value = buf_strf(err, "%.*s", (int)found.len, found.text);
	return *value ? 0 : -1;
}
