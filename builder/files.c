/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing the files of a run; the rules are in the header. */
#include "builder/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "fs/tree_oci.h"

void files_release(struct files *f)
{
	for (size_t i = 0; i < f->nr; i++)
		free(f->items[i].path);
	free(f->items);
	*f = (struct files){0};
}

int files_read(struct files *f, const char *path, const char *what, struct error *err)
{
	if (!path)
		return 0;
	if (ARRAY_GROW(f->items, f->nr + 1, f->alloc, "a list of files", err) < 0)
		return -1;
	f->items[f->nr].path = buf_strf(err, "%s", path);
	f->items[f->nr].what = what;
	return f->items[f->nr].path ? (f->nr++, 0) : -1;
}

static int read_layer(struct files *f, const struct spec_layer *l, struct error *err)
{
	CLEANUP_FREE char *image = NULL;

	if ((l->kind == SPEC_TAR && files_read(f, l->path, "read by the spec as a tar layer", err) < 0) ||
		(l->kind == SPEC_DIRECTORY &&
			files_read(f, l->path, "read by the spec as a directory layer", err) < 0) ||
		files_read(f, l->from, "read by the spec as the content of a file", err) < 0 ||
		files_read(f, l->keyring, "read by the spec as a keyring", err) < 0)
		return -1;
	if (!l->image)
		return 0;
	if (tree_oci_path(l->image, &image, err) < 0)
		return -1;
	return files_read(f, image, "read by the spec as an OCI image", err);
}

int files_read_spec(struct files *f, const struct spec *s, struct error *err)
{
	if (files_read(f, s->file, "the spec", err) < 0)
		return -1;
	for (size_t i = 0; i < s->nr_layers; i++)
		if (read_layer(f, &s->layers[i], err) < 0)
			return -1;
	if (files_read(f, s->boot.sign_key, "read by the spec as the signing key", err) < 0)
		return -1;
	return files_read(f, s->boot.sign_certificate, "read by the spec as the signing certificate", err);
}

/* The folder that path lies in, without symbolic links; NULL when it is not there. */
static char *real_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *folder = NULL;

	if (!slash)
		return realpath(".", NULL);
	folder = strndup(path, (size_t)(slash - path) + 1);
	return folder ? realpath(folder, NULL) : NULL;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_same(const char *a, const char *b)
{
	CLEANUP_FREE char *dir_a = NULL;
	CLEANUP_FREE char *dir_b = NULL;
	struct stat st_a, st_b;
	bool is_a = stat(a, &st_a) == 0, is_b = stat(b, &st_b) == 0;

	if (is_a && is_b)
		return st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
	if (is_a || is_b || strcmp(last_part(a), last_part(b)) != 0)
		return false;
	dir_a = real_folder(a);
	dir_b = real_folder(b);
	return dir_a && dir_b && strcmp(dir_a, dir_b) == 0;
}

/* Whether a file that is there lies somewhere in the folder. */
static bool is_inside(const char *path, const char *folder)
{
	CLEANUP_FREE char *outer = NULL;
	CLEANUP_FREE char *inner = NULL;
	struct stat st;
	size_t len;

	if (access(path, F_OK) < 0 || stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
		return false;
	outer = realpath(folder, NULL);
	inner = real_folder(path);
	if (!outer || !inner)
		return false;
	len = strcmp(outer, "/") ? strlen(outer) : 0;
	return !strncmp(inner, outer, len) && (!inner[len] || inner[len] == '/');
}

static int check_opened(const char *path, const struct stat *st, struct error *err)
{
	CLEANUP_FREE char *folder = NULL;

	if (st && S_ISDIR(st->st_mode))
		return error_set(err, ERROR_IO, EISDIR, "cannot create '%s'", path);
	if (st)
		return access(path, W_OK) == 0 ? 0 :
			error_set(err, ERROR_IO, errno, "cannot write to '%s'", path);
	errno = ENOENT;
	folder = *last_part(path) ? real_folder(path) : NULL;
	if (!folder || access(folder, W_OK | X_OK) < 0)
		return error_set(err, ERROR_IO, errno, "cannot create '%s'", path);
	return 0;
}

int files_make(struct files *f, const char *path, const char *what, enum files_way way,
	const char *option, struct error *err)
{
	struct stat st;
	bool there = stat(path, &st) == 0;

	if ((way == FILES_OPENED ? check_opened(path, there ? &st : NULL, err) :
				   file_check_target(path, err)) < 0)
		return -1;
	/* Pipes, terminals and /dev/null keep nothing that could be lost. */
	if (there && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return 0;
	for (size_t i = 0; i < f->nr; i++) {
		const struct files_item *item = &f->items[i];

		if (is_same(path, item->path))
			return error_set(err, ERROR_USAGE, 0, "%s: '%s' is %s: give another name", option,
				path, item->what);
		if (is_inside(path, item->path))
			return error_set(err, ERROR_USAGE, 0,
				"%s: '%s' lies in the folder '%s', which is %s: give another name, or "
				"remove it", option, path, item->path, item->what);
	}
	return files_read(f, path, what, err);
}
