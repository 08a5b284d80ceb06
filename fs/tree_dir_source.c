/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of a folder's files by reference. Files are opened when they are read, by name below
 * the descriptor of their own folder, so a read of a small file costs open, pread, fstat and close
 * whatever the depth. The fstat comes behind the read: when size, times and inode are then still
 * those of the scan, what was read is what was scanned.
 *
 * Descriptors of folders and files that were used last are kept, so that the next piece, or the
 * next file of the same folder, finds them open. A kept one in use has users and is not thrown
 * out.
 */
#include "fs/tree_dir_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct source_dir *dir_at(const struct dir_source *s, uint32_t i)
{
	return (struct source_dir *)(void *)s->dirs.chunks[i >> CHUNK_SHIFT] + (i & CHUNK_MASK);
}

static struct source_file *file_at(const struct dir_source *s, uint32_t i)
{
	return (struct source_file *)(void *)s->files.chunks[i >> CHUNK_SHIFT] + (i & CHUNK_MASK);
}

/* Puts "/name" before what is in out from *at on; false when it does not fit. */
static bool prepend(char *out, size_t *at, const char *name, bool slash)
{
	size_t len = strlen(name);

	if (*at < len + slash + 4)
		return false;
	*at -= len;
	memcpy(out + *at, name, len);
	if (slash)
		out[--*at] = '/';
	return true;
}

const char *dir_source_text(const struct dir_source *s, uint32_t dir, const char *name,
	char out[DIR_SOURCE_PATH_TEXT])
{
	size_t at = DIR_SOURCE_PATH_TEXT - 1;
	bool fits = true;

	out[at] = '\0';
	if (name)
		fits = prepend(out, &at, name, true);
	for (; fits && dir != DIR_SOURCE_ROOT; dir = dir_at(s, dir)->parent)
		fits = prepend(out, &at, dir_at(s, dir)->name, true);
	if (!fits || !prepend(out, &at, s->path, false)) {
		at -= 3;
		memcpy(out + at, "...", 3);
	}
	return out + at;
}

int dir_source_changed(
	const struct dir_source *s, uint32_t dir, const char *name, struct error *err)
{
	char text[DIR_SOURCE_PATH_TEXT];

	return error_set(err, ERROR_INPUT, 0, "'%s' changed while it was read",
		dir_source_text(s, dir, name, text));
}

int dir_source_error(const struct dir_source *s, uint32_t dir, const char *name, int errnum,
	const char *what, struct error *err)
{
	char text[DIR_SOURCE_PATH_TEXT];

	return error_set(err, ERROR_IO, errnum, "cannot %s '%s'", what,
		dir_source_text(s, dir, name, text));
}

/* A failed open of what the scan has seen. */
static int open_failed(
	const struct dir_source *s, uint32_t dir, const char *name, struct error *err)
{
	if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
		return dir_source_changed(s, dir, name, err);
	return dir_source_error(s, dir, name, errno, "open", err);
}

int dir_source_openat(struct dir_source *s, int dir_fd, const char *name, int flags)
{
	int all = flags | O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = -1;

	/* Only a file's owner may leave its access time alone; one refusal ends the asking. */
	if (!atomic_load_explicit(&s->atime, memory_order_relaxed)) {
		fd = openat(dir_fd, name, all | O_NOATIME);
		if (fd >= 0 || errno != EPERM)
			return fd;
		atomic_store_explicit(&s->atime, true, memory_order_relaxed);
	}
	return openat(dir_fd, name, all);
}

/* The kept descriptor of key, with one more user; -1 when there is none. */
static int cache_get(struct dir_source *s, struct fd_cache *c, uint32_t key)
{
	int fd = -1;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < DIR_SOURCE_FDS && fd < 0; i++) {
		struct kept_fd *slot = &c->slots[i];

		if (slot->fd >= 0 && slot->key == key) {
			slot->users++;
			slot->last_use = ++c->clock;
			fd = slot->fd;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return fd;
}

/* Keeps fd with one user, in place of the one that rested longest. Not when all are in use. */
static void cache_put(struct dir_source *s, struct fd_cache *c, uint32_t key, int fd)
{
	struct kept_fd *victim = NULL;
	int old = -1;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < DIR_SOURCE_FDS; i++) {
		struct kept_fd *slot = &c->slots[i];

		if (!slot->users && (!victim || slot->last_use < victim->last_use))
			victim = slot;
	}
	if (victim) {
		old = victim->fd;
		*victim =
			(struct kept_fd){.fd = fd, .key = key, .users = 1, .last_use = ++c->clock};
	}
	pthread_mutex_unlock(&s->lock);
	if (old >= 0)
		close(old);
}

/* Ends a use; a descriptor that is not kept is closed. */
static void cache_release(struct dir_source *s, struct fd_cache *c, int fd)
{
	bool kept = fd == s->root_fd;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < DIR_SOURCE_FDS && !kept; i++)
		if (c->slots[i].fd == fd) {
			c->slots[i].users--;
			kept = true;
		}
	pthread_mutex_unlock(&s->lock);
	if (!kept)
		close(fd);
}

static void cache_init(struct fd_cache *c)
{
	memset(c, 0, sizeof(*c));
	for (size_t i = 0; i < DIR_SOURCE_FDS; i++)
		c->slots[i].fd = -1;
}

static void cache_close(struct fd_cache *c)
{
	for (size_t i = 0; i < DIR_SOURCE_FDS; i++)
		if (c->slots[i].fd >= 0)
			close(c->slots[i].fd);
}

/* The folder `up` levels above dir. */
static uint32_t ancestor(const struct dir_source *s, uint32_t dir, unsigned up)
{
	while (up--)
		dir = dir_at(s, dir)->parent;
	return dir;
}

/*
 * A descriptor (O_PATH) of a folder, to be given back by cache_release(). Opened from the nearest
 * folder above that is open.
 */
static int hold_dir(struct dir_source *s, uint32_t dir, int *out, struct error *err)
{
	unsigned up = 0;
	uint32_t at = dir;
	int fd = s->root_fd;

	for (; at != DIR_SOURCE_ROOT; at = dir_at(s, at)->parent, up++) {
		fd = cache_get(s, &s->dir_fds, at);
		if (fd >= 0)
			break;
		fd = s->root_fd;
	}
	while (up > 0) {
		int below;

		at = ancestor(s, dir, --up);
		below = openat(
			fd, dir_at(s, at)->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			open_failed(s, at, NULL, err);
		cache_release(s, &s->dir_fds, fd);
		if (below < 0)
			return -1;
		cache_put(s, &s->dir_fds, at, below);
		fd = below;
	}
	*out = fd;
	return 0;
}

int dir_source_open_dir(struct dir_source *s, uint32_t dir, int *fd, struct error *err)
{
	int parent;

	if (dir == DIR_SOURCE_ROOT) {
		*fd = dir_source_openat(s, s->root_fd, ".", O_DIRECTORY);
		return *fd < 0 ? open_failed(s, dir, NULL, err) : 0;
	}
	if (hold_dir(s, dir_at(s, dir)->parent, &parent, err))
		return -1;
	*fd = dir_source_openat(s, parent, dir_at(s, dir)->name, O_DIRECTORY);
	if (*fd < 0)
		open_failed(s, dir, NULL, err);
	cache_release(s, &s->dir_fds, parent);
	return *fd < 0 ? -1 : 0;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	__uint128_t product = (__uint128_t)(hash ^ value ^ UINT64_C(0x9e3779b97f4a7c15)) *
		UINT64_C(0xd6e8feb86659fd93);

	return (uint64_t)product ^ (uint64_t)(product >> 64) ^ (hash << 17 | hash >> 47);
}

/*
 * What must stay the same between scan and read, in 8 bytes: a chance change is not found once in
 * 2^64.
 */
static uint64_t fingerprint(const struct stat *st)
{
	uint64_t hash = mix(0, (uint64_t)st->st_size);

	hash = mix(hash, (uint64_t)st->st_mtim.tv_sec);
	hash = mix(hash, (uint64_t)st->st_mtim.tv_nsec);
	hash = mix(hash, (uint64_t)st->st_ctim.tv_sec);
	hash = mix(hash, (uint64_t)st->st_ctim.tv_nsec);
	hash = mix(hash, st->st_ino);
	return mix(hash, st->st_dev);
}

static int check_unchanged(const struct dir_source *s, const struct source_file *f, int fd,
	struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || fingerprint(&st) != f->fingerprint)
		return dir_source_changed(s, f->dir, f->name, err);
	return 0;
}

static int open_file(struct dir_source *s, const struct source_file *f, int *fd, struct error *err)
{
	int parent;

	if (hold_dir(s, f->dir, &parent, err))
		return -1;
	*fd = dir_source_openat(s, parent, f->name, 0);
	if (*fd < 0)
		open_failed(s, f->dir, f->name, err);
	cache_release(s, &s->dir_fds, parent);
	return *fd < 0 ? -1 : 0;
}

static int read_fully(const struct dir_source *s, const struct source_file *f, int fd, void *buf,
	size_t len, uint64_t off, struct error *err)
{
	char *to = buf;

	while (len) {
		ssize_t got = pread(fd, to, len, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return dir_source_error(s, f->dir, f->name, errno, "read", err);
		if (!got)
			return dir_source_changed(s, f->dir, f->name, err);
		to += got;
		off += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

static int dir_pread(struct source *src, uint64_t id, void *buf, size_t len, uint64_t off,
	struct error *err)
{
	struct dir_source *s = (struct dir_source *)src;
	const struct source_file *f = file_at(s, (uint32_t)id);
	int fd = cache_get(s, &s->file_fds, (uint32_t)id);
	int status;

	if (fd < 0) {
		if (open_file(s, f, &fd, err))
			return -1;
		cache_put(s, &s->file_fds, (uint32_t)id, fd);
	}
	status = read_fully(s, f, fd, buf, len, off, err);
	/* A failed read too may have its reason in a change: a FIFO in the file's place. */
	if (check_unchanged(s, f, fd, err))
		status = -1;
	cache_release(s, &s->file_fds, fd);
	return status;
}

static int dir_open(struct source *src, uint64_t id, int *fd, uint64_t *base, struct error *err)
{
	struct dir_source *s = (struct dir_source *)src;
	const struct source_file *f = file_at(s, (uint32_t)id);

	*base = 0;
	if (open_file(s, f, fd, err))
		return -1;
	if (check_unchanged(s, f, *fd, err)) {
		close(*fd);
		*fd = -1;
		return -1;
	}
	return 0;
}

static void dir_free(struct source *src)
{
	struct dir_source *s = (struct dir_source *)src;

	cache_close(&s->dir_fds);
	cache_close(&s->file_fds);
	if (s->root_fd >= 0)
		close(s->root_fd);
	chunk_array_release(&s->dirs);
	chunk_array_release(&s->files);
	pthread_mutex_destroy(&s->lock);
	free(s->path);
	free(s);
}

static const struct source_ops dir_ops = {
	.name = "directory",
	.pread = dir_pread,
	.open = dir_open,
	.free = dir_free,
};

int dir_source_add_dir(struct dir_source *s, uint32_t parent, const char *name, uint32_t *out,
	struct error *err)
{
	uint32_t i = s->dirs.nr;

	if (chunk_array_extend(&s->dirs, 1, sizeof(struct source_dir), err))
		return -1;
	*dir_at(s, i) = (struct source_dir){.name = name, .parent = parent};
	*out = i;
	return 0;
}

int dir_source_add_file(struct dir_source *s, uint32_t dir, const char *name, const struct stat *st,
	uint32_t *out, struct error *err)
{
	uint32_t i = s->files.nr;

	if (chunk_array_extend(&s->files, 1, sizeof(struct source_file), err))
		return -1;
	*file_at(s, i) =
		(struct source_file){.name = name, .fingerprint = fingerprint(st), .dir = dir};
	*out = i;
	return 0;
}

struct dir_source *dir_source_new(const char *path, struct error *err)
{
	struct dir_source *s = calloc(1, sizeof(*s));
	uint32_t root;

	if (!s) {
		error_nomem(err, "directory source");
		return NULL;
	}
	s->base.ops = &dir_ops;
	cache_init(&s->dir_fds);
	cache_init(&s->file_fds);
	pthread_mutex_init(&s->lock, NULL);
	s->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0) {
		error_set(err, ERROR_IO, errno, "cannot open folder '%s'", path);
		goto fail;
	}
	s->path = strdup(path);
	if (!s->path) {
		error_nomem(err, "directory source");
		goto fail;
	}
	for (size_t len = strlen(path); len > 1 && s->path[len - 1] == '/'; len--)
		s->path[len - 1] = '\0';
	if (dir_source_add_dir(s, DIR_SOURCE_ROOT, "", &root, err))
		goto fail;
	return s;
fail:
	dir_free(&s->base);
	return NULL;
}
