/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One snapshot: its content file, its map of blocks, and its way from pending to completed or
 * error.
 *
 * The order that a kill must not break: a block's old record is voided, its bytes are written, its
 * new record is appended; the answer goes out after that. So a record's digest is always that of
 * the bytes.
 */
#include "uploader/region/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/num.h"

enum { NAME_SIZE = STORE_ID_SIZE + 8, MAP_FILE_MAX = 1 << 30 };

/* SHA-256 of STORE_BLOCK_SIZE zeros. */
static const uint8_t zero_block_digest[SHA256_SIZE] = {0x07, 0x85, 0x4d, 0x2f, 0xef, 0x29, 0x7a,
	0x06, 0xba, 0x81, 0x68, 0x5e, 0x66, 0x0c, 0x33, 0x2d, 0xe3, 0x6d, 0x5d, 0x18, 0xd5, 0x46,
	0x92, 0x7d, 0x30, 0xda, 0xad, 0x6d, 0x7f, 0xda, 0x15, 0x41};

static const char *const status_names[] = {
	[SNAPSHOT_PENDING] = "pending",
	[SNAPSHOT_COMPLETED] = "completed",
	[SNAPSHOT_ERROR] = "error",
};

const char *snapshot_status_name(enum snapshot_status status)
{
	return status_names[status];
}

/* "<id>.img" and the like, relative to store->snapshots_fd. */
static const char *file_name(const struct snapshot *snap, const char *ext, char name[NAME_SIZE])
{
	(void)snprintf(name, NAME_SIZE, "%s%s", snap->id, ext); /* an id fits: snapshot_new() */
	return name;
}

/* After a restart the map's time says when the last block came. */
static int64_t last_write_on_disk(const struct snapshot *snap)
{
	char name[NAME_SIZE];
	int64_t start = json_get_int(snap->doc, "start", 0);
	struct stat st;

	if (fstatat(snap->store->snapshots_fd, file_name(snap, ".map", name), &st, 0) < 0)
		return start;
	return MAX(start, (int64_t)st.st_mtime);
}

static int snapshot_parse(struct snapshot *snap, const char *id, struct error *err)
{
	const char *status = json_get_str(snap->doc, "status", "");
	int64_t size = json_get_int(snap->doc, "size", 0);
	int found = -1;

	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++)
		if (strcmp(status, status_names[i]) == 0)
			found = (int)i;
	if (found < 0 || size < 1 || size > STORE_MAX_GIB || strlen(id) >= sizeof(snap->id))
		return error_set(err, ERROR_INPUT, 0,
			"the record of snapshot '%s' lacks a status or a size from 1 to %d GiB", id,
			STORE_MAX_GIB);
	memcpy(snap->id, id, strlen(id) + 1);
	snap->size_gib = (uint64_t)size;
	snap->blocks = found == SNAPSHOT_COMPLETED ? json_get_int(snap->doc, "blocks", -1) : -1;
	atomic_init(&snap->status, found);
	atomic_init(&snap->completing,
		json_get(snap->doc, "count") != NULL || json_get(snap->doc, "copy") != NULL);
	atomic_init(&snap->last_write, last_write_on_disk(snap));
	return blockmap_init(&snap->map, snap->size_gib * STORE_BLOCKS_PER_GIB, err);
}

struct snapshot *snapshot_new(struct store *s, const char *id, struct json *doc, struct error *err)
{
	struct snapshot *snap = calloc(1, sizeof(*snap));

	if (!snap) {
		json_free(doc);
		error_nomem(err, "snapshot");
		return NULL;
	}
	snap->store = s;
	snap->doc = doc;
	snap->img_fd = snap->map_fd = -1;
	snap->reloaded = true;
	atomic_init(&snap->refs, 1);
	pthread_mutex_init(&snap->lock, NULL);
	if (snapshot_parse(snap, id, err) < 0) {
		snapshot_put(snap);
		return NULL;
	}
	return snap;
}

struct snapshot *snapshot_get(struct snapshot *snap)
{
	atomic_fetch_add(&snap->refs, 1);
	return snap;
}

static void snapshot_close_files(struct snapshot *snap)
{
	cleanup_close_p(&snap->img_fd);
	cleanup_close_p(&snap->map_fd);
	snap->img_fd = snap->map_fd = -1;
}

void snapshot_put(struct snapshot *snap)
{
	if (atomic_fetch_sub(&snap->refs, 1) != 1)
		return;
	snapshot_close_files(snap);
	blockmap_release(&snap->map);
	pthread_mutex_destroy(&snap->lock);
	json_free(snap->doc);
	free(snap);
}

static int snapshot_open_file(const struct snapshot *snap, const char *ext, int flags,
	struct error *err)
{
	char name[NAME_SIZE];
	int fd = openat(snap->store->snapshots_fd, file_name(snap, ext, name), flags | O_CLOEXEC,
		0644);

	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s/snapshots/%s'",
			snap->store->dir, name);
	return fd;
}

int snapshot_open_content(const struct snapshot *snap, struct error *err)
{
	return snapshot_open_file(snap, ".img", O_RDONLY, err);
}

int snapshot_sync(const struct snapshot *snap, struct error *err)
{
	CLEANUP_CLOSE int fd = snapshot_open_content(snap, err);

	if (fd < 0)
		return -1;
	if (fdatasync(fd) < 0)
		return error_set(err, ERROR_IO, errno, "cannot sync the content of '%s'", snap->id);
	return 0;
}

int snapshot_create_files(struct snapshot *snap, struct error *err)
{
	snap->img_fd = snapshot_open_file(snap, ".img", O_RDWR | O_CREAT | O_EXCL, err);
	if (snap->img_fd < 0)
		return -1;
	snap->map_fd = snapshot_open_file(snap, ".map", O_RDWR | O_CREAT | O_EXCL, err);
	if (snap->map_fd < 0)
		return -1;
	if (ftruncate(snap->img_fd, (off_t)(snap->size_gib * GIB)) < 0)
		return error_set(err, ERROR_IO, errno,
			"cannot make a sparse file of %llu GiB for snapshot '%s'",
			(unsigned long long)snap->size_gib, snap->id);
	snap->map_loaded = true;
	snap->reloaded = false;
	return 0;
}

/* For file systems without links: the data between the holes. */
static int copy_data(int from, int to, const char *id, struct error *err)
{
	off_t at = lseek(from, 0, SEEK_DATA), end;

	for (; at >= 0; at = lseek(from, end, SEEK_DATA)) {
		off_t out = at;

		end = lseek(from, at, SEEK_HOLE);
		while (end > 0 && at < end) {
			ssize_t n = copy_file_range(from, &at, to, &out, (size_t)(end - at), 0);

			if (n <= 0 && !(n < 0 && errno == EINTR))
				return error_set(err, ERROR_IO, n < 0 ? errno : EIO,
					"cannot copy the content to '%s'", id);
		}
		if (end < 0)
			return error_set(err, ERROR_IO, errno, "cannot read the content for '%s'", id);
	}
	return errno == ENXIO ? 0 : error_set(err, ERROR_IO, errno, "cannot copy the content to '%s'", id);
}

static int link_file(const struct snapshot *snap, const struct snapshot *source, const char *ext,
	struct error *err)
{
	CLEANUP_CLOSE int from = -1;
	CLEANUP_CLOSE int to = -1;
	char old[NAME_SIZE], new[NAME_SIZE];
	struct stat st;

	if (linkat(source->store->snapshots_fd, file_name(source, ext, old), snap->store->snapshots_fd,
		    file_name(snap, ext, new), 0) == 0)
		return 0;
	if (errno == ENOENT)
		return error_set(err, ERROR_IO, errno, "the snapshot '%s' is gone", source->id);
	from = snapshot_open_file(source, ext, O_RDONLY, err);
	to = from < 0 ? -1 : snapshot_open_file(snap, ext, O_RDWR | O_CREAT | O_EXCL, err);
	if (to < 0)
		return -1;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return error_set(err, ERROR_IO, errno, "cannot size '%s'", new);
	return copy_data(from, to, snap->id, err);
}

int snapshot_link_files(struct snapshot *snap, const struct snapshot *source, struct error *err)
{
	return link_file(snap, source, ".img", err) < 0 ? -1 : link_file(snap, source, ".map", err);
}

void snapshot_unlink(const struct snapshot *snap)
{
	static const char *const exts[] = {".json", ".map", ".img"};
	char name[NAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(exts); i++)
		(void)unlinkat(snap->store->snapshots_fd, file_name(snap, exts[i], name), 0);
}

static int map_replay_file(struct snapshot *snap, struct error *err)
{
	CLEANUP_FREE char *path =
		buf_strf(err, "%s/snapshots/%s.map", snap->store->dir, snap->id);
	CLEANUP_BUF struct buf data = BUF_INIT(MAP_FILE_MAX);

	if (!path || file_read(path, &data, err) < 0)
		return -1;
	if (blockmap_replay(&snap->map, data.data, data.len, err) < 0)
		return error_wrap(err, "'%s'", path);
	if (snap->blocks >= 0 && (uint64_t)snap->blocks != snap->map.nr_written)
		return error_set(err, ERROR_INPUT, 0, "'%s' has %llu blocks, its record says %lld", path,
			(unsigned long long)snap->map.nr_written, (long long)snap->blocks);
	snap->map_end = data.len - data.len % BLOCKMAP_RECORD_SIZE;
	snap->map_loaded = true;
	return 0;
}

int snapshot_load_map(struct snapshot *snap, struct error *err)
{
	int ret = 0;

	pthread_mutex_lock(&snap->lock);
	if (!snap->map_loaded)
		ret = map_replay_file(snap, err);
	pthread_mutex_unlock(&snap->lock);
	return ret;
}

/* Opens what writing needs, after a restart. With the lock held. */
static int snapshot_open_for_writing(struct snapshot *snap, struct error *err)
{
	if (!snap->map_loaded && map_replay_file(snap, err) < 0)
		return -1;
	if (snap->img_fd < 0)
		snap->img_fd = snapshot_open_file(snap, ".img", O_RDWR, err);
	if (snap->map_fd < 0)
		snap->map_fd = snapshot_open_file(snap, ".map", O_RDWR, err);
	return snap->img_fd < 0 || snap->map_fd < 0 ? -1 : 0;
}

/* The record is in the file before it is in memory. */
static int map_append(struct snapshot *snap, uint64_t index,
	const uint8_t digest[SHA256_SIZE], struct error *err)
{
	uint8_t record[BLOCKMAP_RECORD_SIZE];

	blockmap_record(record, index, digest);
	if (file_pwrite_all(snap->map_fd, record, sizeof(record), snap->map_end, snap->id, err) < 0)
		return -1;
	snap->map_end += sizeof(record);
	return blockmap_replay(&snap->map, record, sizeof(record), err);
}

/* Zeros become a hole; where nothing was written there is one. */
static int block_write_bytes(const struct snapshot *snap, uint64_t index, const void *data,
	const uint8_t digest[SHA256_SIZE], bool had, struct error *err)
{
	uint64_t off = index * STORE_BLOCK_SIZE;

	if (memcmp(digest, zero_block_digest, SHA256_SIZE) == 0) {
		if (!had && !snap->reloaded)
			return 0;
		if (fallocate(snap->img_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
			    STORE_BLOCK_SIZE) == 0)
			return 0;
	}
	return file_pwrite_all(snap->img_fd, data, STORE_BLOCK_SIZE, off, snap->id, err);
}

/*
 * One writer at a time: the kernel would let no more into one file, and makes those that wait spin,
 * which on a small machine takes the processor from the client.
 */
static int block_write(struct snapshot *snap, uint64_t index, const void *data,
	const uint8_t digest[SHA256_SIZE], struct error *err)
{
	const uint8_t *old;

	if (snapshot_open_for_writing(snap, err) < 0)
		return -1;
	old = blockmap_digest(&snap->map, index);
	if (old && memcmp(old, digest, SHA256_SIZE) == 0)
		return 0;
	if (old && map_append(snap, index | BLOCKMAP_VOID, digest, err) < 0)
		return -1;
	if (block_write_bytes(snap, index, data, digest, old != NULL, err) < 0)
		return -1;
	return map_append(snap, index, digest, err);
}

enum snapshot_write snapshot_write_block(struct snapshot *snap, uint64_t index, const void *data,
	const uint8_t digest[SHA256_SIZE], int64_t now, struct error *err)
{
	enum snapshot_write result = SNAPSHOT_CLOSED;

	pthread_mutex_lock(&snap->lock);
	if (!atomic_load(&snap->completing) && atomic_load(&snap->status) == SNAPSHOT_PENDING) {
		result = block_write(snap, index, data, digest, err) < 0 ? SNAPSHOT_WRITE_FAILED :
									   SNAPSHOT_WRITTEN;
		atomic_store(&snap->last_write, now);
	}
	pthread_mutex_unlock(&snap->lock);
	return result;
}

int snapshot_set_status(struct snapshot *snap, enum snapshot_status status, const char *message,
	struct error *err)
{
	if (json_set_str(snap->doc, "status", status_names[status], err) < 0 ||
	    (message && json_set_str(snap->doc, "statusMessage", message, err) < 0) ||
	    store_save_snapshot(snap, err) < 0)
		return -1;
	atomic_store(&snap->status, (int)status);
	return 0;
}

/* Bytes that a killed server left between a write and its record must not stay in the content. */
static int punch_gaps(const struct snapshot *snap, struct error *err)
{
	uint64_t from = 0;

	while (from < snap->map.nr_blocks) {
		uint64_t next = blockmap_next(&snap->map, from);

		if (next > from &&
		    fallocate(snap->img_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)(from * STORE_BLOCK_SIZE),
			    (off_t)((next - from) * STORE_BLOCK_SIZE)) < 0)
			return error_set(err, ERROR_IO, errno, "cannot punch holes into '%s'",
				snap->id);
		from = next + 1;
	}
	return 0;
}

static int copy_block(int from_fd, const struct snapshot *to, uint64_t index, struct error *err)
{
	off_t in = (off_t)(index * STORE_BLOCK_SIZE), out = in;
	size_t left = STORE_BLOCK_SIZE;

	while (left > 0) {
		ssize_t n = copy_file_range(from_fd, &in, to->img_fd, &out, left, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(err, ERROR_IO, n < 0 ? errno : EIO,
				"cannot copy block %llu of the parent of '%s'",
				(unsigned long long)index, to->id);
		left -= (size_t)n;
	}
	return 0;
}

/* Blocks that only the parent has come into the child: each snapshot is whole by itself. */
static int merge_parent(struct snapshot *snap, struct snapshot *parent, struct error *err)
{
	CLEANUP_CLOSE int fd = snapshot_open_content(parent, err);

	if (fd < 0 || snapshot_load_map(parent, err) < 0)
		return -1;
	for (uint64_t i = blockmap_next(&parent->map, 0); i < parent->map.nr_blocks;
		i = blockmap_next(&parent->map, i + 1)) {
		const uint8_t *digest = blockmap_digest(&parent->map, i);

		if (blockmap_digest(&snap->map, i))
			continue;
		if (memcmp(digest, zero_block_digest, SHA256_SIZE) != 0 &&
		    copy_block(fd, snap, i, err) < 0)
			return -1;
		if (blockmap_put(&snap->map, i, digest, err) < 0)
			return -1;
	}
	return 0;
}

/* What CompleteSnapshot said against what was written; *fault gets EC2's message or NULL. */
static int check_claims(const struct snapshot *snap, const char **fault, struct error *err)
{
	const char *aggregate = json_get_str(snap->doc, "aggregate", NULL);
	uint64_t count = (uint64_t)json_get_int(snap->doc, "count", -1);
	uint8_t digest[SHA256_SIZE];
	char text[SHA256_BASE64_SIZE];

	*fault = NULL;
	if (count != snap->map.nr_written) {
		*fault = "Changed blocks count mismatch for snapshot";
		return 0;
	}
	if (!aggregate)
		return 0;
	if (blockmap_aggregate(&snap->map, digest, err) < 0)
		return -1;
	if (strcmp(base64_sha256(text, digest), aggregate) != 0)
		*fault = "Checksum mismatch for snapshot";
	return 0;
}

/* The map as a sorted file, under its name only when it is whole. */
static int write_final_map(const struct snapshot *snap, struct error *err)
{
	CLEANUP_FREE char *path =
		buf_strf(err, "%s/snapshots/%s.map", snap->store->dir, snap->id);
	CLEANUP_BUF struct buf data = BUF_INIT(MAP_FILE_MAX);

	if (!path || blockmap_dump(&snap->map, &data, err) < 0)
		return -1;
	return file_write_atomic(path, buf_str(&data), data.len, 0444, true, err);
}

/*
 * Checks, fills up from the parent, seals. "checked" goes to disk before the map gets the parent's
 * blocks, so that a restart in between does not count those.
 */
static int snapshot_finish(struct snapshot *snap, struct error *err)
{
	const char *parent_id = json_get_str(snap->doc, "parent", NULL);
	struct snapshot *parent = parent_id ? store_find_parent(snap->store, parent_id) : NULL;
	const char *fault = NULL;

	if (snapshot_open_for_writing(snap, err) < 0)
		return -1;
	if (!json_get_bool(snap->doc, "checked", false) && check_claims(snap, &fault, err) < 0)
		return -1;
	if (fault)
		return snapshot_set_status(snap, SNAPSHOT_ERROR, fault, err);
	if (snap->reloaded && punch_gaps(snap, err) < 0)
		return -1;
	if (parent) {
		if (json_set_bool(snap->doc, "checked", true, err) < 0 ||
		    store_save_snapshot(snap, err) < 0 || merge_parent(snap, parent, err) < 0)
			return -1;
	}
	if (write_final_map(snap, err) < 0 ||
	    json_set_int(snap->doc, "blocks", (int64_t)snap->map.nr_written, err) < 0)
		return -1;
	if (fchmod(snap->img_fd, 0444) < 0)
		return error_set(err, ERROR_IO, errno, "cannot seal snapshot '%s'", snap->id);
	return snapshot_set_status(snap, SNAPSHOT_COMPLETED, NULL, err);
}

/* A copy ends when its time is over. */
static int settle_copy(struct snapshot *snap, const struct json *copy, int64_t now, struct error *err)
{
	const char *fault = json_get_str(copy, "fault", NULL);

	if (now < json_get_int(snap->doc, "start", 0) + json_get_int(copy, "seconds", 0))
		return 0;
	return snapshot_set_status(snap, fault ? SNAPSHOT_ERROR : SNAPSHOT_COMPLETED, fault, err);
}

static void snapshot_after_end(struct snapshot *snap)
{
	const char *parent_id = json_get_str(snap->doc, "parent", NULL);

	snapshot_close_files(snap);
	if (parent_id)
		store_reap(snap->store, parent_id);
}

int snapshot_settle(struct snapshot *snap, int64_t now, uint64_t now_ms, struct error *err)
{
	int64_t limit = json_get_int(snap->doc, "timeout", 60) * 60;
	const struct json *copy = json_get(snap->doc, "copy");
	int ret = 0;

	if (atomic_load(&snap->status) != SNAPSHOT_PENDING)
		return 0;
	if (copy)
		return settle_copy(snap, copy, now, err);
	if (atomic_load(&snap->completing) ? now_ms < snap->complete_at_ms :
					     now <= atomic_load(&snap->last_write) + limit)
		return 0;
	pthread_mutex_lock(&snap->lock);
	if (atomic_load(&snap->completing))
		ret = snapshot_finish(snap, err);
	else
		ret = snapshot_set_status(snap, SNAPSHOT_ERROR,
			"The snapshot was not completed within its timeout", err);
	if (ret == 0)
		snapshot_after_end(snap);
	pthread_mutex_unlock(&snap->lock);
	return ret;
}
