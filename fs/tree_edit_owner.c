/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owners by name, as the tree's own account files have them: the numbers of the machine that builds
 * mean nothing in the image.
 */
#include "fs/tree_edit.h"

#include <string.h>

#include "fs/tree_internal.h"

enum { ACCOUNTS_MAX = 16 << 20 }; /* bytes of /etc/passwd or /etc/group */

/* The whole of an account file, NUL-terminated; empty when the tree has none. */
static int read_accounts(const struct tree *t, const char *path, struct buf *out, struct error *err)
{
	struct tree_attr attr;
	tree_node node;
	void *to;

	if (tree_lookup(t, path, true, &node, err))
		return -1;
	if (node == TREE_NONE)
		return 0;
	tree_get(t, node, &attr);
	if (!S_ISREG(attr.mode) || attr.size > ACCOUNTS_MAX)
		return error_set(
			err, ERROR_INPUT, 0, "'%s' in the tree is no file of at most 16 MiB", path);
	/* An earlier layer may just have put it into the spool. */
	if (t->spool && spool_flush(t->spool, err))
		return -1;
	to = buf_extend(out, (size_t)attr.size, err);
	return to ? tree_pread(t, node, to, (size_t)attr.size, 0, err) : -1;
}

/* Field `index` of a "a:b:c" line as a number. */
static bool field_number(const char *line, const char *end, unsigned index, uint32_t *out)
{
	uint64_t value = 0;

	while (index--) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return false;
		line++;
	}
	if (line == end || *line < '0' || *line > '9')
		return false;
	for (; line < end && *line >= '0' && *line <= '9'; line++) {
		value = value * 10 + (uint64_t)(*line - '0');
		if (value >= UINT32_MAX)
			return false;
	}
	*out = (uint32_t)value;
	return line == end || *line == ':';
}

/*
 * Looks name up in an account file: its number is the third field; *group (may be NULL) the
 * fourth.
 */
static int find_account(const struct tree *t, const char *path, const char *name, size_t len,
	uint32_t *id, uint32_t *group, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(ACCOUNTS_MAX);
	const char *line, *end;

	if (read_accounts(t, path, &text, err))
		return -1;
	for (line = buf_str(&text); *line; line = *end ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		if ((size_t)(end - line) <= len || memcmp(line, name, len) || line[len] != ':')
			continue;
		if (field_number(line, end, 2, id) && (!group || field_number(line, end, 3, group)))
			return 0;
		return error_set(err, ERROR_INPUT, 0,
			"'%s' in the tree: the line of '%.*s' is damaged", path, (int)len, name);
	}
	return error_set(
		err, ERROR_INPUT, 0, "'%.*s' is not in the tree's '%s'", (int)len, name, path);
}

/* An all-digit text; false when it is not, or too large for an id. */
static bool is_number(const char *text, size_t len, uint32_t *out)
{
	return strspn(text, "0123456789") >= len && field_number(text, text + len, 0, out);
}

int tree_edit_owner(const struct tree *t, const char *text, struct tree_edit_owner *out,
	struct error *err)
{
	const char *colon = strchr(text, ':');
	size_t user_len = colon ? (size_t)(colon - text) : strlen(text);
	size_t group_len = colon ? strlen(colon + 1) : 0;
	struct tree_edit_owner found = {0, 0};

	if (!user_len || (colon && !group_len))
		return error_set(err, ERROR_INPUT, 0,
			"owner '%s' is not of the form USER or USER:GROUP", text);
	if (is_number(text, user_len, &found.uid))
		found.gid = found.uid;
	else if (find_account(t, "/etc/passwd", text, user_len, &found.uid,
			 colon ? NULL : &found.gid, err))
		return -1;
	if (colon && !is_number(colon + 1, group_len, &found.gid) &&
		find_account(t, "/etc/group", colon + 1, group_len, &found.gid, NULL, err))
		return -1;
	*out = found;
	return 0;
}
