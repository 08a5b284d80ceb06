/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which modules a core image holds, and in which order. moddep.lst has a line for each module:
 * "name: what it needs, by spaces". The order is grub-mkimage's, so that the result can be compared
 * with its: needs are added first, the last one of a line before the first one; of several lines
 * for one module the last counts.
 */
#include "formats/grub_core_internal.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64, MODULES_MAX = 1024, LISTS_MAX = 1 << 20 };

struct resolver {
	const struct grub_core_in *in;
	const char *deps;              /* text of moddep.lst */
	struct grub_module_list *list;
};

void grub_module_list_release(struct grub_module_list *list)
{
	for (size_t i = 0; i < list->nr; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct grub_module_list){NULL, 0};
}

static bool listed(const struct grub_module_list *list, const char *name, size_t len)
{
	for (size_t i = 0; i < list->nr; i++)
		if (strlen(list->names[i]) == len && memcmp(list->names[i], name, len) == 0)
			return true;
	return false;
}

static int append(struct grub_module_list *list, const char *name, size_t len, struct error *err)
{
	char **names = reallocarray(list->names, list->nr + 1, sizeof(*names));

	if (!names)
		return error_nomem(err, "a list of modules");
	list->names = names;
	list->names[list->nr] = buf_strf(err, "%.*s", (int)len, name);
	if (!list->names[list->nr])
		return -1;
	list->nr++;
	return 0;
}

/* What a module needs: the text behind its last "NAME:" in *at and *len; nothing when there is none. */
static void find_needs(const char *deps, const char *name, size_t name_len, const char **at,
	size_t *len)
{
	*at = "";
	*len = 0;
	for (const char *line = deps; *line;) {
		size_t line_len = strcspn(line, "\n");

		if (line_len > name_len && memcmp(line, name, name_len) == 0 &&
			line[name_len] == ':') {
			*at = line + name_len + 1;
			*len = line_len - name_len - 1;
		}
		line += line_len;
		line += *line == '\n';
	}
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static int add(struct resolver *r, const char *name, size_t name_len, unsigned depth,
	struct error *err)
{
	const char *needs;
	size_t end;

	if (listed(r->list, name, name_len))
		return 0;
	if (depth > DEPTH_MAX || r->list->nr >= MODULES_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"GRUB's moddep.lst: what module '%.*s' needs does not end", (int)name_len, name);
	find_needs(r->deps, name, name_len, &needs, &end);
	while (end > 0) {
		size_t start;

		while (end > 0 && blank(needs[end - 1]))
			end--;
		for (start = end; start > 0 && !blank(needs[start - 1]);)
			start--;
		if (end > start && add(r, needs + start, end - start, depth + 1, err) < 0)
			return -1;
		end = start;
	}
	return listed(r->list, name, name_len) ? 0 : append(r->list, name, name_len, err);
}

static int is_there(const struct grub_core_in *in, const char *name, bool *found, struct error *err)
{
	CLEANUP_BUF struct buf content = BUF_INIT(GRUB_FILE_MAX);
	CLEANUP_FREE char *file = buf_strf(err, "%s.mod", name);

	return file ? in->load(in->arg, file, &content, found, err) : -1;
}

int grub_core_modules(const struct grub_core_in *in, struct grub_module_list *out, struct error *err)
{
	CLEANUP_BUF struct buf deps = BUF_INIT(LISTS_MAX);
	struct resolver r = {.in = in, .list = out};

	*out = (struct grub_module_list){NULL, 0};
	if (grub_core_load(in, "moddep.lst", &deps, err) < 0)
		return -1;
	r.deps = buf_str(&deps);
	for (const char *const *m = in->modules; *m; m++)
		if (add(&r, *m, strlen(*m), 0, err) < 0)
			goto fail;
	for (const char *const *m = in->optional; m && *m; m++) {
		bool found;

		if (is_there(in, *m, &found, err) < 0)
			goto fail;
		if (found && add(&r, *m, strlen(*m), 0, err) < 0)
			goto fail;
	}
	return 0;
fail:
	grub_module_list_release(out);
	return -1;
}
