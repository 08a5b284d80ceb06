/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One snapshot: its life, and its blocks while it is pending. Its files are in snapshot_file.c, its end
 * in snapshot_finish.c.
 *
 * The order that a kill must not break: a block's old record is voided, its bytes are written, its
 * new record is appended; the answer goes out after that. So a record's digest is always that of
 * the bytes.
 */
#include "uploader/region/store_internal.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"

/* SHA-256 of STORE_BLOCK_SIZE zeros. */
static const uint8_t zero_block_digest[SHA256_SIZE] = {0x07, 0x85, 0x4d, 0x2f, 0xef, 0x29, 0x7a,
	0x06, 0xba, 0x81, 0x68, 0x5e, 0x66, 0x0c, 0x33, 0x2d, 0xe3, 0x6d, 0x5d, 0x18, 0xd5, 0x46,
	0x92, 0x7d, 0x30, 0xda, 0xad, 0x6d, 0x7f, 0xda, 0x15, 0x41};

static const char *const status_names[] = {
	[SNAPSHOT_PENDING] = "pending",
	[SNAPSHOT_COMPLETED] = "completed",
	[SNAPSHOT_ERROR] = "error",
};

bool snapshot_is_zeros(const uint8_t digest[SHA256_SIZE])
{
	return memcmp(digest, zero_block_digest, SHA256_SIZE) == 0;
}

const char *snapshot_status_name(enum snapshot_status status)
{
	return status_names[status];
}

/* After a restart the map's time says when the last block came. */
static int64_t last_write_on_disk(const struct snapshot *snap)
{
	int64_t start = json_get_int(snap->doc, "start", 0), map = snapshot_map_time(snap);

	return MAX(start, map);
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

static int map_replay_file(struct snapshot *snap, struct error *err)
{
	CLEANUP_FREE char *path =
		buf_strf(err, "%s/snapshots/%s.map", snap->store->dir, snap->id);
	CLEANUP_BUF struct buf data = BUF_INIT(SNAPSHOT_MAP_MAX);

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

int snapshot_open_for_writing(struct snapshot *snap, struct error *err)
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

	if (snapshot_is_zeros(digest)) {
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
