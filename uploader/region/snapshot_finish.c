/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a snapshot: what CompleteSnapshot said is held against what was written, blocks of the
 * parent fill it up, and it is sealed; or its time is over. A kill between any two steps leaves a
 * snapshot that the next start ends in the same way.
 */
#include "uploader/region/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

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
		if (!snapshot_is_zeros(digest) &&
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
	CLEANUP_BUF struct buf data = BUF_INIT(SNAPSHOT_MAP_MAX);

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
