/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files. An atomic file has no name at all while it is written (O_TMPFILE) wherever that
 * works, else a hidden one beside the final name. The order of a commit is: content, fsync, name,
 * fsync of the folder; so after a power cut there is the old file or the whole new one.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/interrupt.h"
#include "base/num.h"

/* Below the kernel's own limit of a single read or write. */
enum { IO_MAX = 1 << 30, READ_CHUNK = 16384, PROC_PATH_SIZE = 32, NAME_KEPT = 200 };

/* Reads what fstat() promises straight into out; *left is false when the file ended before that. */
static int read_promised(int fd, const char *path, struct buf *out, bool *left, struct error *err)
{
	struct stat st;
	size_t want, got = 0, before = out->len;
	char *room;
	ssize_t n = 1;

	if (fstat(fd, &st) < 0)
		return error_set(err, ERROR_IO, errno, "cannot stat '%s'", path);
	want = st.st_size > 0 ? (size_t)MIN((uint64_t)st.st_size, (uint64_t)buf_room(out)) : 0;
	room = buf_extend(out, want, err);
	if (!room)
		return error_wrap(err, "cannot read '%s'", path);
	while (got < want && n > 0) {
		n = interrupt_read(fd, room + got, MIN(want - got, (size_t)IO_MAX), path, err);
		if (n > 0)
			got += (size_t)n;
	}
	buf_truncate(out, n < 0 ? before : before + got);
	*left = n > 0;
	return n < 0 ? -1 : 0;
}

int file_read(const char *path, struct buf *out, struct error *err)
{
	CLEANUP_CLOSE int fd = interrupt_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0, err);
	size_t before = out->len;
	bool left = true;
	char chunk[READ_CHUNK];

	if (fd < 0)
		return -1;
	if (read_promised(fd, path, out, &left, err) < 0)
		return -1;
	/* Files of /proc promise nothing, and any file may have grown. */
	while (left) {
		ssize_t n = interrupt_read(fd, chunk, sizeof(chunk), path, err);

		if (n < 0)
			goto fail;
		if (buf_add(out, chunk, (size_t)n, err) < 0) {
			error_wrap(err, "cannot read '%s'", path);
			goto fail;
		}
		left = n > 0;
	}
	return 0;
fail:
	buf_truncate(out, before);
	return -1;
}

int file_pread_all(int fd, void *buf, size_t len, uint64_t off, const char *path, struct error *err)
{
	char *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, MIN(len, (size_t)IO_MAX), (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "cannot read '%s' at offset %llu",
				path, (unsigned long long)off);
		if (n == 0)
			return error_set(err, ERROR_INPUT, 0,
				"'%s' ends at offset %llu where %zu bytes more were expected", path,
				(unsigned long long)off, len);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int file_pwrite_all(
	int fd, const void *buf, size_t len, uint64_t off, const char *path, struct error *err)
{
	const char *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, MIN(len, (size_t)IO_MAX), (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(err, ERROR_IO, n < 0 ? errno : EIO,
				"cannot write '%s' at offset %llu", path, (unsigned long long)off);
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int file_write_all(int fd, const void *buf, size_t len, const char *path, struct error *err)
{
	const char *p = buf;

	while (len > 0) {
		size_t step = MIN(len, (size_t)IO_MAX);
		ssize_t n = write(fd, p, step);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			return error_set(
				err, ERROR_IO, n < 0 ? errno : EIO, "cannot write '%s'", path);
		/* A signal ends a write to who reads no more, be it in its middle. */
		if (n < (ssize_t)step && interrupt_check(err) < 0)
			return error_wrap(err, "writing '%s'", path);
		p += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
	}
	return 0;
}

/* Length of the folder part of path with its last '/'; 0 when there is none. */
static size_t folder_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The folder that path lies in. */
static char *folder_of(const char *path, struct error *err)
{
	size_t len = folder_len(path);

	return len ? buf_strf(err, "%.*s", (int)len, path) : buf_strf(err, ".");
}

/*
 * Another ".NAME.PID-N" in the folder of path. Process and counter make it this process's own; a
 * name left by a dead process is stepped over by the callers, who try again on EEXIST. Long names
 * are cut to fit NAME_MAX.
 */
static char *tmp_name(const char *path, struct error *err)
{
	static atomic_uint counter;
	size_t len = folder_len(path);

	return buf_strf(err, "%.*s.%.*s.%ld-%u", (int)len, path, NAME_KEPT, path + len,
		(long)getpid(), atomic_fetch_add(&counter, 1));
}

static void proc_path(int fd, char out[PROC_PATH_SIZE])
{
	snprintf(out, PROC_PATH_SIZE, "/proc/self/fd/%d", fd);
}

/*
 * Opens a file without a name; -1 with *fd = -1 is an error, 0 with *fd = -1 says that it does not
 * work here (the file system cannot, or no /proc through which to name it later).
 */
static int open_nameless(const char *path, int *fd, struct error *err)
{
	CLEANUP_FREE char *folder = folder_of(path, err);
	char proc[PROC_PATH_SIZE];

	if (!folder)
		return -1;
	*fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (*fd < 0)
		return 0;
	proc_path(*fd, proc);
	if (access(proc, F_OK) < 0)
		close(steal_fd(fd));
	return 0;
}

static int open_named(struct atomic_file *f, struct error *err)
{
	do {
		free(f->tmp_path);
		f->tmp_path = tmp_name(f->path, err);
		if (!f->tmp_path)
			return -1;
		f->fd = open(f->tmp_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	} while (f->fd < 0 && errno == EEXIST);
	if (f->fd >= 0)
		return 0;
	error_set(err, ERROR_IO, errno, "cannot create '%s'", f->path);
	free(f->tmp_path);
	f->tmp_path = NULL;
	return -1;
}

/* A rename over a device or a pipe would replace it: `-o /dev/null` by root must not. */
int file_check_target(const char *path, struct error *err)
{
	CLEANUP_FREE char *folder = folder_of(path, err);
	struct stat st;

	if (!folder)
		return -1;
	if (path[folder_len(path)] == '\0')
		return error_set(
			err, ERROR_IO, path[0] ? EISDIR : ENOENT, "cannot create '%s'", path);
	if (access(folder, W_OK | X_OK) < 0 || (lstat(path, &st) < 0 && errno != ENOENT))
		return error_set(err, ERROR_IO, errno, "cannot create '%s'", path);
	if (lstat(path, &st) < 0)
		return 0;
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_IO, EISDIR, "cannot create '%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return error_set(err, ERROR_IO, 0,
			"cannot create '%s': something that is not a regular file has this name",
			path);
	return 0;
}

int atomic_file_open(struct atomic_file *f, const char *path, mode_t mode, struct error *err)
{
	*f = (struct atomic_file)ATOMIC_FILE_INIT;
	if (file_check_target(path, err) < 0)
		return -1;
	f->path = strdup(path);
	if (!f->path)
		return error_nomem(err, "a file name");
	if (open_nameless(f->path, &f->fd, err) < 0)
		goto fail;
	if (f->fd < 0 && open_named(f, err) < 0)
		goto fail;
	if (fchmod(f->fd, mode) < 0) {
		error_set(err, ERROR_IO, errno, "cannot set the mode of '%s'", path);
		goto fail;
	}
	return 0;
fail:
	atomic_file_abort(f);
	return -1;
}

/*
 * Gives a nameless file a name: the final one when that is free (sets *final), else a temporary
 * one, for link() cannot replace.
 */
static int link_nameless(struct atomic_file *f, bool *final, struct error *err)
{
	char proc[PROC_PATH_SIZE];
	int ret;

	proc_path(f->fd, proc);
	ret = linkat(AT_FDCWD, proc, AT_FDCWD, f->path, AT_SYMLINK_FOLLOW);
	*final = ret == 0;
	while (ret < 0 && errno == EEXIST) {
		free(f->tmp_path);
		f->tmp_path = tmp_name(f->path, err);
		if (!f->tmp_path)
			return -1;
		ret = linkat(AT_FDCWD, proc, AT_FDCWD, f->tmp_path, AT_SYMLINK_FOLLOW);
	}
	if (ret == 0)
		return 0;
	error_set(err, ERROR_IO, errno, "cannot create '%s'", f->path);
	free(f->tmp_path);
	f->tmp_path = NULL;
	return -1;
}

static int sync_folder(const char *path, struct error *err)
{
	CLEANUP_FREE char *folder = folder_of(path, err);
	CLEANUP_CLOSE int fd = -1;

	if (!folder)
		return -1;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/*
	 * A folder that may be written but not read cannot be synced; EINVAL: its file system has
	 * no such thing.
	 */
	if (fd < 0 && errno == EACCES)
		return 0;
	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return error_set(err, ERROR_IO, errno, "cannot sync folder '%s'", folder);
	return 0;
}

/* From written to named. *final says that the final name refers to the new file. */
static int put_name(struct atomic_file *f, bool durable, bool *final, struct error *err)
{
	if (durable && fsync(f->fd) < 0)
		return error_set(err, ERROR_IO, errno, "cannot sync '%s'", f->path);
	if (!f->tmp_path && link_nameless(f, final, err) < 0)
		return -1;
	/* Some file systems report a failed write only here. */
	if (close(steal_fd(&f->fd)) < 0) {
		error_set(err, ERROR_IO, errno, "cannot write '%s'", f->path);
		if (*final)
			unlink(f->path);
		return -1;
	}
	if (*final)
		return 0;
	if (rename(f->tmp_path, f->path) < 0)
		return error_set(err, ERROR_IO, errno, "cannot rename to '%s'", f->path);
	free(f->tmp_path);
	f->tmp_path = NULL;
	return 0;
}

int atomic_file_commit(struct atomic_file *f, bool durable, struct error *err)
{
	bool final = false;
	int ret = put_name(f, durable, &final, err);

	if (ret == 0 && durable)
		ret = sync_folder(f->path, err);
	atomic_file_abort(f);
	return ret;
}

void atomic_file_abort(struct atomic_file *f)
{
	int saved = errno;

	if (f->fd >= 0)
		close(f->fd);
	if (f->tmp_path)
		unlink(f->tmp_path);
	free(f->tmp_path);
	free(f->path);
	*f = (struct atomic_file)ATOMIC_FILE_INIT;
	errno = saved;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, bool durable,
	struct error *err)
{
	struct atomic_file f;

	if (atomic_file_open(&f, path, mode, err) < 0)
		return -1;
	if (file_write_all(f.fd, data, len, path, err) < 0) {
		atomic_file_abort(&f);
		return -1;
	}
	return atomic_file_commit(&f, durable, err);
}

static int make_folder(const char *path, mode_t mode, struct error *err)
{
	struct stat st;
	int why;

	if (mkdir(path, mode) == 0)
		return 0;
	why = errno;
	/* Read-only file systems and the like say so even of folders that are there. */
	if (why != EEXIST && why != EROFS && why != EACCES && why != EPERM)
		return error_set(err, ERROR_IO, why, "cannot create folder '%s'", path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return error_set(
		err, ERROR_IO, why == EEXIST ? ENOTDIR : why, "cannot create folder '%s'", path);
}

int file_mkdirs(const char *path, mode_t mode, struct error *err)
{
	CLEANUP_FREE char *copy = strdup(path);
	char *p;

	if (!copy)
		return error_nomem(err, "a folder name");
	for (p = copy + strspn(copy, "/"); *p != '\0';) {
		size_t len = strcspn(p, "/"), slashes = strspn(p + len, "/");
		char kept = p[len];

		p[len] = '\0';
		if (make_folder(copy, mode, err) < 0)
			return -1;
		p[len] = kept;
		p += len + slashes;
	}
	return 0;
}

char *file_join(const char *dir, const char *rel, struct error *err)
{
	size_t len = dir ? strlen(dir) : 0;

	if (len == 0 || rel[0] == '/')
		return buf_strf(err, "%s", rel);
	return buf_strf(err, "%s%s%s", dir, dir[len - 1] == '/' ? "" : "/", rel);
}

void file_allow(uint64_t nr)
{
	enum { USUAL = 128 };
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= nr + USUAL)
		return;
	limit.rlim_cur = MIN(nr + USUAL, limit.rlim_max);
	(void)!setrlimit(RLIMIT_NOFILE, &limit);
}
