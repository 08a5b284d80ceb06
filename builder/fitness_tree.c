/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a tree: files, texts, services. */
#include "builder/fitness_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"

enum { TEXT_MAX = 1 << 20 };

static const char *const unit_dirs[] = {"/etc/systemd/system", "/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system", "/lib/systemd/system"};

/* A loop of links, or a name that is too long, is a path that leads nowhere. */
static tree_node lookup(struct fit *f, const char *path, bool follow)
{
	struct error err = ERROR_INIT;
	tree_node node = TREE_NONE;

	if (f->failed || tree_lookup(f->in->t, path, follow, &node, &err) == 0)
		return f->failed ? TREE_NONE : node;
	if (err.kind != ERROR_INPUT) {
		f->failed = true;
		*f->err = err;
	}
	return TREE_NONE;
}

bool fit_exists(struct fit *f, const char *path)
{
	return lookup(f, path, true) != TREE_NONE;
}

bool fit_is_link(struct fit *f, const char *path)
{
	tree_node node = lookup(f, path, false);
	struct tree_attr attr;

	if (node == TREE_NONE)
		return false;
	tree_get(f->in->t, node, &attr);
	return S_ISLNK(attr.mode);
}

static bool get_file(struct fit *f, const char *path, tree_node *node, struct tree_attr *attr)
{
	*node = lookup(f, path, true);
	if (*node == TREE_NONE)
		return false;
	tree_get(f->in->t, *node, attr);
	return S_ISREG(attr->mode);
}

bool fit_is_file(struct fit *f, const char *path)
{
	struct tree_attr attr;
	tree_node node;

	return get_file(f, path, &node, &attr) && attr.size;
}

bool fit_read(struct fit *f, const char *path, struct buf *out)
{
	struct tree_attr attr;
	tree_node node;
	size_t len;
	void *room;

	buf_clear(out);
	if (!get_file(f, path, &node, &attr))
		return false;
	len = (size_t)MIN(attr.size, (uint64_t)TEXT_MAX);
	room = buf_extend(out, len, f->err);
	if (!room || tree_pread(f->in->t, node, room, len, 0, f->err) < 0)
		f->failed = true;
	/* A NUL would hide what follows it. */
	for (size_t i = 0; !f->failed && i < len; i++)
		if (!out->data[i])
			out->data[i] = ' ';
	return !f->failed;
}

const char *fit_first(struct fit *f, const char *const *paths)
{
	while (*paths && !fit_exists(f, *paths))
		paths++;
	return *paths;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_path(struct fit *f, const char *dir, const char *name, struct fit_paths *out)
{
	char **items = reallocarray(out->items, out->nr + 1, sizeof(*items));

	if (!items) {
		f->failed = true;
		error_nomem(f->err, "a list of files");
		return;
	}
	out->items = items;
	items[out->nr] = buf_strf(f->err, "%s/%s", dir, name);
	f->failed |= !items[out->nr];
	out->nr += !f->failed;
}

void fit_list(struct fit *f, const char *dir, const char *end, struct fit_paths *out)
{
	tree_node top = lookup(f, dir, true);

	*out = (struct fit_paths){NULL, 0};
	if (top == TREE_NONE)
		return;
	for (tree_node n = tree_first_child(f->in->t, top); n != TREE_NONE && !f->failed;
		n = tree_next_sibling(f->in->t, n)) {
		size_t len;
		const char *name = tree_name(f->in->t, n, &len);

		if (text_ends_with_mem(name, len, end))
			add_path(f, dir, name, out);
	}
	if (out->nr)
		qsort(out->items, out->nr, sizeof(*out->items), by_bytes);
}

void fit_paths_release(struct fit_paths *p)
{
	for (size_t i = 0; i < p->nr; i++)
		free(p->items[i]);
	free(p->items);
	*p = (struct fit_paths){NULL, 0};
}

char *fit_line(char **at)
{
	while (**at) {
		char *line = *at, *end = line + strcspn(line, "\n");

		*at = *end ? end + 1 : end;
		while (end > line && strchr(" \t\r", end[-1]))
			end--;
		line += strspn(line, " \t\r");
		if (line >= end || *line == '#' || *line == ';')
			continue;
		*end = '\0';
		return line;
	}
	return NULL;
}

bool fit_has_word(const char *text, const char *word, bool begins)
{
	static const char between[] = " \t\r\n\"'";
	size_t len = strlen(word);

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
		bool start = at == text || strchr(between, at[-1]) || at[-1] == '=';

		if (start && (begins || !at[len] || strchr(between, at[len])))
			return true;
	}
	return false;
}

const char *fit_unit_dir(struct fit *f, const char *unit)
{
	const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');

	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++) {
		/* An instance's file is its template's. */
		CLEANUP_FREE char *path = at ? buf_strf(f->err, "%s/%.*s@%s", unit_dirs[i],
						       (int)(at - unit), unit, dot) :
					       buf_strf(f->err, "%s/%s", unit_dirs[i], unit);

		f->failed |= !path;
		if (path && fit_is_file(f, path))
			return unit_dirs[i];
	}
	return NULL;
}

/* A link to /dev/null, or an empty file, in the place that comes first. */
static bool is_masked(struct fit *f, const char *unit)
{
	CLEANUP_FREE char *path = buf_strf(f->err, "%s/%s", unit_dirs[0], unit);
	struct tree_attr attr;
	tree_node node;

	f->failed |= !path;
	node = path ? lookup(f, path, false) : TREE_NONE;
	if (node == TREE_NONE)
		return false;
	tree_get(f->in->t, node, &attr);
	return (S_ISLNK(attr.mode) && !strcmp(attr.target, "/dev/null")) ||
	       (S_ISREG(attr.mode) && !attr.size);
}

/* What targets pull in that are not reached when a machine just starts. */
static bool is_elsewhere(const char *name)
{
	return !strncmp(name, "initrd", 6) || !strncmp(name, "rescue", 6) ||
	       !strncmp(name, "emergency", 9);
}

static bool is_wanted(struct fit *f, const char *unit)
{
	static const char *const ends[] = {".wants", ".requires", ".upholds"};

	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++) {
		tree_node dir = lookup(f, unit_dirs[i], true);

		for (tree_node n = dir == TREE_NONE ? dir : tree_first_child(f->in->t, dir);
			n != TREE_NONE; n = tree_next_sibling(f->in->t, n)) {
			size_t len;
			const char *name = tree_name(f->in->t, n, &len);
			struct tree_attr attr;

			tree_get(f->in->t, n, &attr);
			if (!S_ISDIR(attr.mode) || is_elsewhere(name))
				continue;
			for (size_t k = 0; k < ARRAY_SIZE(ends); k++)
				if (text_ends_with_mem(name, len, ends[k]) &&
					tree_child(f->in->t, n, unit, strlen(unit)) != TREE_NONE)
					return true;
		}
	}
	return false;
}

/* OpenRC's runlevels, and System V's S20name. */
static bool is_service(struct fit *f, const char *unit)
{
	static const char *const levels[] = {"sysinit", "boot", "default"};
	static const char *const rc[] = {"/etc/rcS.d", "/etc/rc2.d", "/etc/rc3.d"};
	CLEANUP_FREE char *name = buf_strf(f->err, "%.*s", (int)strcspn(unit, "."), unit);
	bool found = false;

	f->failed |= !name;
	for (size_t i = 0; i < ARRAY_SIZE(levels) && !f->failed && !found; i++) {
		CLEANUP_FREE char *path = buf_strf(f->err, "/etc/runlevels/%s/%s", levels[i], name);

		f->failed |= !path;
		found = path && lookup(f, path, false) != TREE_NONE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rc) && !f->failed && !found; i++) {
		struct fit_paths paths;

		fit_list(f, rc[i], name, &paths);
		for (size_t k = 0; k < paths.nr; k++) {
			const char *base = strrchr(paths.items[k], '/') + 1;

			found |= base[0] == 'S' && strlen(base) == 3 + strlen(name);
		}
		fit_paths_release(&paths);
	}
	return found;
}

bool fit_enabled(struct fit *f, const char *unit)
{
	if (!fit_exists(f, "/usr/lib/systemd/systemd") && !fit_exists(f, "/lib/systemd/systemd"))
		return is_service(f, unit);
	return !is_masked(f, unit) && fit_unit_dir(f, unit) && is_wanted(f, unit);
}

char *fit_enable_cure(struct fit *f, const char *unit, const char *target)
{
	const char *dir = fit_unit_dir(f, unit);

	return buf_strf(f->err,
		"- symlink: {path: /etc/systemd/system/%s.wants/%s, target: %s/%s}", target, unit,
		dir ? dir : unit_dirs[2], unit);
}

char *fit_package_cure(struct fit *f, struct fit_package p)
{
	bool fedora = f->distribution == FIT_FEDORA || f->distribution == FIT_AMAZON;

	return buf_strf(f->err, "add the package '%s'", fedora ? p.fedora : p.debian);
}
