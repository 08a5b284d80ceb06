/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder, and its removal by descriptors, so that no link in it leads out. */
#include "base/tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/log.h"

enum { DEPTH_MAX = 64 };

char *tempdir_new(const char *below, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/.amiwright-XXXXXX", below ? below : "/var/tmp");

	if (!path)
		return NULL;
	if (!mkdtemp(path))
		return error_null(err, ERROR_IO, errno, "cannot make a temporary folder in '%s'",
			below ? below : "/var/tmp");
	return steal_ptr(&path);
}

/* A removal on its way. */
struct remover {
	int top;        /* the folder itself; borrowed */
	unsigned moved; /* folders that were taken up to it because they lay too deep */
};

static void empty(struct remover *r, int dirfd, int depth);

/* What a program made unreadable or read-only for itself would else keep its files. */
static int open_folder(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return -1;
	(void)!fchmodat(dirfd, name, 0700, 0);
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Each level costs a descriptor: what is deeper than some has its turn at the top. */
static void move_up(struct remover *r, int dirfd, const char *name)
{
	char to[32];

	snprintf(to, sizeof(to), ".amiwright-deep%u", r->moved);
	if (!renameat(dirfd, name, r->top, to))
		r->moved++;
}

static void remove_entry(struct remover *r, int dirfd, const char *name, int depth)
{
	int fd;

	if (!unlinkat(dirfd, name, 0))
		return;
	fd = open_folder(dirfd, name);
	if (fd >= 0 && depth < DEPTH_MAX) {
		empty(r, fd, depth + 1);
	} else if (fd >= 0) {
		close(fd);
		if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
			move_up(r, dirfd, name);
		return;
	}
	(void)!unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* Takes the descriptor. */
static void empty(struct remover *r, int dirfd, int depth)
{
	DIR *dir = fdopendir(dirfd);
	struct dirent *e;

	if (!dir) {
		close(dirfd);
		return;
	}
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			remove_entry(r, dirfd, e->d_name, depth);
	closedir(dir);
}

static void empty_all(const char *path)
{
	CLEANUP_CLOSE int top = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct remover r = {.top = top};
	unsigned before;

	/* Names of what was moved up are never used twice, so each round has new ones. */
	do {
		int fd = top < 0 ? -1 : openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		before = r.moved;
		if (fd >= 0)
			empty(&r, fd, 0);
	} while (r.moved > before);
}

void tempdir_remove(char *path)
{
	if (!path)
		return;
	empty_all(path);
	if (rmdir(path) < 0)
		log_warn("cannot remove the temporary folder '%s': %s", path, strerror(errno));
	free(path);
}
