/* SPDX-License-Identifier: Apache-2.0 */
/* The volume of a snapshot, block by block out of record, map and content of a sealed snapshot. */
#include "uploader/region/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "uploader/region/store.h"

enum { RECORD_MAX = 4 * 1024 * 1024, MAP_MAX = 1 << 30 };

struct volume {
	char *base;      /* path without extension; owned */
	struct json *doc;
	struct blockmap map;
	int fd;          /* content */
	bool encrypted;
	uint64_t seed;
};

static void volume_release(struct volume *v)
{
	cleanup_close_p(&v->fd);
	blockmap_release(&v->map);
	json_free(v->doc);
	free(v->base);
}

static int read_record(struct volume *v, const char *id, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s.json", v->base);
	CLEANUP_BUF struct buf text = BUF_INIT(RECORD_MAX);
	const char *status;
	int64_t size;

	if (!path)
		return -1;
	if (access(path, F_OK) < 0)
		return error_set(err, ERROR_USAGE, 0, "there is no snapshot '%s': '%s' is missing", id,
			path);
	if (file_read(path, &text, err) < 0)
		return -1;
	v->doc = json_parse(buf_str(&text), text.len, path, err);
	if (!v->doc)
		return -1;
	status = json_get_str(v->doc, "status", "");
	size = json_get_int(v->doc, "size", 0);
	if (strcmp(status, "completed") != 0)
		return error_set(err, ERROR_USAGE, 0,
			"the snapshot '%s' is '%.20s': only a completed one makes a volume", id, status);
	if (size < 1 || size > STORE_MAX_GIB)
		return error_set(err, ERROR_INPUT, 0, "'%s' lacks a size", path);
	v->encrypted = json_get_bool(v->doc, "encrypted", false);
	return blockmap_init(&v->map, (uint64_t)size * STORE_BLOCKS_PER_GIB, err);
}

static int volume_open(struct volume *v, const char *dir, const char *region, const char *id,
	struct error *err)
{
	CLEANUP_FREE char *map = NULL, *content = NULL;
	CLEANUP_BUF struct buf records = BUF_INIT(MAP_MAX);
	uint8_t digest[SHA256_SIZE];

	v->base = buf_strf(err, "%s/regions/%s/snapshots/%s", dir, region, id);
	if (!v->base || read_record(v, id, err) < 0)
		return -1;
	map = buf_strf(err, "%s.map", v->base);
	content = buf_strf(err, "%s.img", v->base);
	if (!map || !content || file_read(map, &records, err) < 0 ||
	    blockmap_replay(&v->map, records.data, records.len, err) < 0 ||
	    sha256(id, strlen(id), digest, err) < 0)
		return -1;
	v->seed = num_get_le64(digest);
	v->fd = open(content, O_RDONLY | O_CLOEXEC);
	if (v->fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", content);
	return 0;
}

/* xorshift64* from the snapshot's and the block's number. */
static void fill_random(uint8_t *block, uint64_t seed, uint64_t index)
{
	uint64_t x = (seed ^ (index + 1) * UINT64_C(0x9e3779b97f4a7c15)) | 1;

	for (size_t i = 0; i < STORE_BLOCK_SIZE; i += 8) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		num_put_le64(block + i, x * UINT64_C(0x2545f4914f6cdd1d));
	}
}

static int write_blocks(const struct volume *v, int out, const char *path, struct error *err)
{
	CLEANUP_FREE uint8_t *block = malloc(STORE_BLOCK_SIZE);

	if (!block)
		return error_nomem(err, "block");
	for (uint64_t i = 0; i < v->map.nr_blocks; i++) {
		uint64_t off = i * STORE_BLOCK_SIZE;
		bool written = blockmap_digest(&v->map, i) != NULL;

		if (!written && !v->encrypted)
			continue;
		if (written ? file_pread_all(v->fd, block, STORE_BLOCK_SIZE, off, v->base, err) < 0 :
			      (fill_random(block, v->seed, i), false))
			return -1;
		if (file_pwrite_all(out, block, STORE_BLOCK_SIZE, off, path, err) < 0)
			return -1;
	}
	return 0;
}

int volume_export(const char *dir, const char *region, const char *snapshot_id, const char *path,
	struct error *err)
{
	CLEANUP(volume_release) struct volume v = {.fd = -1};
	struct atomic_file out = ATOMIC_FILE_INIT;

	if (strchr(snapshot_id, '/') || strncmp(snapshot_id, "snap-", 5) != 0)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is no snapshot id: one like snap-0123456789abcdef0 is right", snapshot_id);
	if (volume_open(&v, dir, region, snapshot_id, err) < 0 ||
	    atomic_file_open(&out, path, 0644, err) < 0)
		return -1;
	if (ftruncate(out.fd, (off_t)(v.map.nr_blocks * STORE_BLOCK_SIZE)) < 0) {
		error_set(err, ERROR_IO, errno, "cannot size '%s'", path);
		atomic_file_abort(&out);
		return -1;
	}
	if (write_blocks(&v, out.fd, path, err) < 0) {
		atomic_file_abort(&out);
		return -1;
	}
	return atomic_file_commit(&out, false, err);
}
