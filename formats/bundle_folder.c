/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle in a folder. A thousand files cannot all be open without a name, so they are made in a
 * temporary folder below it. At the commit the manifest goes first where an older bundle is replaced,
 * and comes last: at no moment is there one that its parts do not fit.
 *
 * Each run holds a lock on its temporary folder: one that can be locked is what a killed run left, and is
 * removed by the next. Looking for those, making one's own and the commit are done with the folder itself
 * locked. Where a file system has no locks, runs at the same time can disturb each other, and leavings stay.
 */
#include "formats/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/tempdir.h"

#define TEMPORARY ".amiwright-bundle-"

struct bundle_folder {
	struct bundle_sink sink;
	char *dir, *prefix, *temporary;
	char *manifest;    /* file name */
	unsigned nr_parts;
	bool replace;
	int lock;          /* of the temporary folder */
};

bool bundle_is_part(const char *name, const char *prefix, unsigned *index)
{
	static const char infix[] = ".part.";
	size_t len = strlen(prefix);
	const char *digits;

	if (strncmp(name, prefix, len) || strncmp(name + len, infix, sizeof(infix) - 1))
		return false;
	digits = name + len + sizeof(infix) - 1;
	if (!*digits || strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 6)
		return false;
	*index = (unsigned)strtoul(digits, NULL, 10);
	return true;
}

/* A temporary folder; -1 when it cannot be opened, or somebody has it. */
static int open_locked(const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? -1 : steal_fd(&fd);
}

/* The folder itself, waited for; without locks it counts as locked. */
static int lock_folder(const struct bundle_folder *f, struct error *err)
{
	CLEANUP_CLOSE int fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open the folder '%s'", f->dir);
	while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
		if (interrupt_check(err) < 0)
			return error_wrap(err, "waiting for another bundle in '%s'", f->dir);
	return steal_fd(&fd);
}

/* Calls for each part that is there, until one returns other than 0. */
static int each_part(const struct bundle_folder *f,
	int (*call)(const struct bundle_folder *f, const char *name, unsigned index, struct error *err),
	struct error *err)
{
	DIR *d = opendir(f->dir);
	struct dirent *e;
	int ret = 0;

	if (!d)
		return error_set(err, ERROR_IO, errno, "cannot open the folder '%s'", f->dir);
	while (!ret && (errno = 0, e = readdir(d))) {
		unsigned index;

		if (bundle_is_part(e->d_name, f->prefix, &index))
			ret = call(f, e->d_name, index, err);
	}
	if (!ret && errno)
		ret = error_set(err, ERROR_IO, errno, "cannot read the folder '%s'", f->dir);
	closedir(d);
	return ret;
}

static int refuse(const struct bundle_folder *f, const char *name, unsigned index, struct error *err)
{
	(void)index;
	return error_set(err, ERROR_POLICY, 0,
		"'%s' has '%s' already: choose another --prefix or --out, or replace it with --force",
		f->dir, name);
}

static int remove_stale(const struct bundle_folder *f, const char *name, unsigned index,
	struct error *err)
{
	CLEANUP_FREE char *path = NULL;
	char ours[32];

	snprintf(ours, sizeof(ours), ".part.%02u", index);
	if (index < f->nr_parts && !strcmp(name + strlen(f->prefix), ours))
		return 0;
	path = file_join(f->dir, name, err);
	if (!path)
		return -1;
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot remove '%s', a part of an older bundle", path);
	return 0;
}

static int check_free(const struct bundle_folder *f, struct error *err)
{
	CLEANUP_FREE char *path = file_join(f->dir, f->manifest, err);

	if (!path)
		return -1;
	if (access(path, F_OK) == 0)
		return refuse(f, f->manifest, 0, err);
	return each_part(f, refuse, err);
}

static void sweep(const struct bundle_folder *f)
{
	DIR *d = opendir(f->dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		CLEANUP_FREE char *path = NULL;
		CLEANUP_CLOSE int lock = -1;

		if (strncmp(e->d_name, TEMPORARY, strlen(TEMPORARY)))
			continue;
		path = file_join(f->dir, e->d_name, NULL);
		lock = path ? open_locked(path) : -1;
		if (lock < 0)
			continue;
		log_info("removing '%s', which a killed run left", path);
		tempdir_remove(steal_ptr(&path));
	}
	if (d)
		closedir(d);
}

static int make_temporary(struct bundle_folder *f, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/" TEMPORARY "XXXXXX", f->dir);
	CLEANUP_CLOSE int lock = path ? lock_folder(f, err) : -1;

	if (lock < 0)
		return -1;
	sweep(f);
	if (!mkdtemp(path))
		return error_set(err, ERROR_IO, errno, "cannot make a temporary folder in '%s'", f->dir);
	f->temporary = steal_ptr(&path);
	f->lock = open_locked(f->temporary);
	return 0;
}

static int write_file(struct bundle_folder *f, const char *name, const void *data, size_t len,
	struct error *err)
{
	CLEANUP_FREE char *path = file_join(f->temporary, name, err);

	return path ? file_write_atomic(path, data, len, 0644, false, err) : -1;
}

static int put_part(void *arg, const struct bundle_part *part, struct error *err)
{
	struct bundle_folder *f = arg;

	f->nr_parts = part->index + 1;
	return write_file(f, part->name, part->data->data, part->data->len, err);
}

static int put_manifest(void *arg, const char *name, const void *data, size_t len, struct error *err)
{
	return write_file(arg, name, data, len, err);
}

static int open_folder(struct bundle_folder *f, struct error *err)
{
	CLEANUP_FREE char *target = NULL;

	if (!f->dir || !f->prefix)
		return error_nomem(err, "a folder");
	f->manifest = buf_strf(err, "%s.manifest.xml", f->prefix);
	target = f->manifest ? file_join(f->dir, f->manifest, err) : NULL;
	if (!target || file_check_target(target, err) < 0 || (!f->replace && check_free(f, err) < 0))
		return -1;
	return make_temporary(f, err);
}

struct bundle_folder *bundle_folder_new(const char *dir, const char *prefix, bool replace,
	struct error *err)
{
	struct bundle_folder *f = calloc(1, sizeof(*f));

	if (!f)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a folder");
	f->dir = strdup(dir);
	f->prefix = strdup(prefix);
	f->sink = (struct bundle_sink){put_part, put_manifest, f};
	f->replace = replace;
	f->lock = -1;
	if (open_folder(f, err) == 0)
		return f;
	bundle_folder_free(f);
	return NULL;
}

const struct bundle_sink *bundle_folder_sink(struct bundle_folder *f)
{
	return &f->sink;
}

static int move(const struct bundle_folder *f, const char *name, struct error *err)
{
	CLEANUP_FREE char *from = file_join(f->temporary, name, err);
	CLEANUP_FREE char *to = from ? file_join(f->dir, name, err) : NULL;

	if (!to)
		return -1;
	return rename(from, to) == 0 ? 0 : error_set(err, ERROR_IO, errno, "cannot make '%s'", to);
}

static int move_parts(const struct bundle_folder *f, struct error *err)
{
	for (unsigned i = 0; i < f->nr_parts; i++) {
		CLEANUP_FREE char *name = buf_strf(err, "%s.part.%02u", f->prefix, i);

		if (!name || move(f, name, err) < 0)
			return -1;
	}
	return 0;
}

/* What has its name already is no bundle without its manifest. */
static void remove_parts(const struct bundle_folder *f)
{
	for (unsigned i = 0; i < f->nr_parts; i++) {
		CLEANUP_FREE char *path = buf_strf(NULL, "%s/%s.part.%02u", f->dir, f->prefix, i);

		if (path)
			unlink(path);
	}
}

int bundle_folder_commit(struct bundle_folder *f, char **manifest, struct error *err)
{
	CLEANUP_FREE char *path = file_join(f->dir, f->manifest, err);
	CLEANUP_CLOSE int lock = -1;

	if (!path)
		return -1;
	/* Another run may have made this bundle meanwhile. */
	lock = lock_folder(f, err);
	if (lock < 0 || (!f->replace && check_free(f, err) < 0))
		return -1;
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot replace '%s'", path);
	if (move_parts(f, err) < 0 || each_part(f, remove_stale, err) < 0 ||
		move(f, f->manifest, err) < 0) {
		remove_parts(f);
		return -1;
	}
	*manifest = steal_ptr(&path);
	return 0;
}

void bundle_folder_free(struct bundle_folder *f)
{
	if (!f)
		return;
	tempdir_remove(f->temporary);
	if (f->lock >= 0)
		close(f->lock);
	free(f->manifest);
	free(f->prefix);
	free(f->dir);
	free(f);
}
