/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder, and its removal by descriptors, so that no link in it leads out. */
#include "base/tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

static void empty(int dirfd, int depth);

static void remove_entry(int dirfd, const char *name, int depth)
{
	int fd;

	if (!unlinkat(dirfd, name, 0))
		return;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && depth < DEPTH_MAX) {
		/* A folder that a program made read-only would keep its files. */
		(void)!fchmod(fd, 0700);
		empty(fd, depth + 1);
	} else if (fd >= 0) {
		close(fd);
	}
	(void)!unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* Takes the descriptor. */
static void empty(int dirfd, int depth)
{
	DIR *dir = fdopendir(dirfd);
	struct dirent *e;

	if (!dir) {
		close(dirfd);
		return;
	}
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			remove_entry(dirfd, e->d_name, depth);
	closedir(dir);
}

void tempdir_remove(char *path)
{
	int fd;

	if (!path)
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		empty(fd, 0);
	if (rmdir(path) < 0)
		log_warn("cannot remove the temporary folder '%s': %s", path, strerror(errno));
	free(path);
}
