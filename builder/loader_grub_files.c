/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRUB's files: of the tree, or of this machine when the tree has none. The tree's are only read:
 * symbolic links are followed inside it, and no file may be larger than GRUB's ever are.
 */
#include "builder/loader_grub_internal.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "fs/tree_edit.h"
#include "fs/tree_file.h"

/* Debian, Ubuntu, Fedora, Amazon Linux; then SUSE. */
static const char *const grub_dirs[] = {"/usr/lib/grub", "/usr/share/grub2"};

enum { NAMES_MAX = 4096 };

int grub_tree_write(const struct loader_in *in, const char *path, const struct buf *content,
	struct error *err)
{
	return tree_edit_write(in->tree, path, content->data, content->len, 0644,
		(struct tree_edit_owner){0, 0}, in->epoch, err);
}

void grub_dir_release(struct grub_dir *d)
{
	free(d->path);
	*d = (struct grub_dir){NULL, NULL};
}

int grub_dir_load(void *arg, const char *name, struct buf *out, bool *found, struct error *err)
{
	const struct grub_dir *d = arg;
	CLEANUP_FREE char *path = buf_strf(err, "%s/%s", d->path, name);

	if (!path)
		return -1;
	if (d->tree)
		return tree_read_file(d->tree, path, GRUB_FILE_MAX, out, found, err);
	*found = access(path, F_OK) == 0;
	return *found ? file_read(path, out, err) : 0;
}

/* True when the folder holds what an image is made of. */
static int is_whole(struct grub_dir *d, bool *whole, struct error *err)
{
	static const char *const files[] = {"kernel.img", "moddep.lst"};

	*whole = true;
	for (size_t i = 0; *whole && i < ARRAY_SIZE(files); i++) {
		CLEANUP_BUF struct buf b = BUF_INIT(GRUB_FILE_MAX);

		if (grub_dir_load(d, files[i], &b, whole, err) < 0)
			return -1;
	}
	return 0;
}

int grub_dir_find(const struct tree *t, const char *platform, struct grub_dir *out,
	struct error *err)
{
	*out = (struct grub_dir){NULL, NULL};
	for (size_t i = 0; i < 2 * ARRAY_SIZE(grub_dirs); i++) {
		bool whole;

		out->tree = i < ARRAY_SIZE(grub_dirs) ? t : NULL;
		out->path = buf_strf(err, "%s/%s", grub_dirs[i % ARRAY_SIZE(grub_dirs)], platform);
		if (!out->path || is_whole(out, &whole, err) < 0) {
			grub_dir_release(out);
			return -1;
		}
		if (whole)
			return 0;
		grub_dir_release(out);
	}
	return 0;
}

void grub_names_release(struct grub_names *n)
{
	for (size_t i = 0; i < n->nr; i++)
		free(n->items[i]);
	free(n->items);
	*n = (struct grub_names){NULL, 0};
}

static int add_name(struct grub_names *n, const char *name, struct error *err)
{
	char **items;

	if (n->nr >= NAMES_MAX)
		return error_set(err, ERROR_INPUT, 0, "too many files for a boot loader (%d)",
			NAMES_MAX);
	items = reallocarray(n->items, n->nr + 1, sizeof(*items));
	if (!items)
		return error_nomem(err, "a list of files");
	n->items = items;
	items[n->nr] = buf_strf(err, "%s", name);
	if (!items[n->nr])
		return -1;
	n->nr++;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int names_in_tree(const struct tree *t, const char *dir, struct grub_names *out,
	struct error *err)
{
	struct tree_attr attr;
	tree_node node;

	if (tree_lookup(t, dir, true, &node, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return 0;
	tree_get(t, node, &attr);
	if (!S_ISDIR(attr.mode))
		return 0;
	for (tree_node n = tree_first_child(t, node); n != TREE_NONE; n = tree_next_sibling(t, n)) {
		size_t len;

		if (add_name(out, tree_name(t, n, &len), err) < 0)
			return -1;
	}
	return 0;
}

static int names_on_host(const char *dir, struct grub_names *out, struct error *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int r = 0;

	if (!d)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", dir);
	while (r == 0 && (e = readdir(d)) != NULL)
		r = add_name(out, e->d_name, err);
	closedir(d);
	return r;
}

int grub_names_of(const struct tree *t, const char *dir, struct grub_names *out, struct error *err)
{
	*out = (struct grub_names){NULL, 0};
	if ((t ? names_in_tree(t, dir, out, err) : names_on_host(dir, out, err)) < 0) {
		grub_names_release(out);
		return -1;
	}
	if (out->nr > 0)
		qsort(out->items, out->nr, sizeof(*out->items), by_bytes);
	return 0;
}

/* What grub-install copies (util/grub-install-common.c): modules, lists, and two helpers. */
static bool is_copied(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && (strcmp(dot, ".mod") == 0 || strcmp(dot, ".lst") == 0 ||
			      strcmp(name, "efiemu32.o") == 0 || strcmp(name, "efiemu64.o") == 0);
}

int grub_dir_each(struct grub_dir *d,
	int (*each)(void *arg, const char *name, const struct buf *content, struct error *err),
	void *arg, struct error *err)
{
	struct grub_names names;
	int r = grub_names_of(d->tree, d->path, &names, err);

	for (size_t i = 0; r == 0 && i < names.nr; i++) {
		CLEANUP_BUF struct buf content = BUF_INIT(GRUB_FILE_MAX);
		bool found;

		if (!is_copied(names.items[i]))
			continue;
		r = grub_dir_load(d, names.items[i], &content, &found, err);
		if (r == 0 && found)
			r = each(arg, names.items[i], &content, err);
	}
	grub_names_release(&names);
	return r;
}

int grub_home(const struct loader_in *in, const char **out, struct error *err)
{
	static const char *const tools[] = {"/usr/sbin/grub2-mkconfig", "/usr/bin/grub2-mkconfig"};

	*out = "/boot/grub";
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		tree_node node;

		if (tree_lookup(in->tree, tools[i], true, &node, err) < 0)
			return -1;
		if (node != TREE_NONE)
			*out = "/boot/grub2";
	}
	return 0;
}

struct copy {
	const struct loader_in *in;
	const char *dir;
};

static int copy_one(void *arg, const char *name, const struct buf *content, struct error *err)
{
	const struct copy *c = arg;
	CLEANUP_FREE char *path = buf_strf(err, "%s/%s", c->dir, name);

	return path ? grub_tree_write(c->in, path, content, err) : -1;
}

int grub_copy_modules(const struct loader_in *in, struct grub_dir *d, const char *platform,
	struct error *err)
{
	CLEANUP_FREE char *dir = NULL;
	struct copy c = {.in = in};
	const char *home;

	if (grub_home(in, &home, err) < 0)
		return -1;
	dir = buf_strf(err, "%s/%s", home, platform);
	if (!dir)
		return -1;
	c.dir = dir;
	return grub_dir_each(d, copy_one, &c, err);
}
