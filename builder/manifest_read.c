/* SPDX-License-Identifier: Apache-2.0 */
/* The counterpart of manifest.c for the one thing that is read back. */
#include "builder/manifest_read.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/num.h"
#include "uploader/ebs.h"

enum { MAX_GIB = 65536, MAX_FILE = 1 << 30 };

DEFINE_CLEANUP(sha256, struct sha256, sha256_free)

/* "'/dev/xvda', '/dev/sdf'": the disks that have digests. */
static int name_disks(const struct json *disks, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < json_length(disks); i++) {
		const struct json *disk = json_at(disks, i);

		if (json_get(json_get(disk, "blocks"), "digests") &&
			buf_addf(out, err, "%s'%.60s'", out->len ? ", " : "",
				json_get_str(disk, "device", "")) < 0)
			return -1;
	}
	return 0;
}

static const struct json *find_disk(const struct json *doc, const char *device, struct error *err)
{
	const struct json *disks = json_get(doc, "disks"), *found = NULL;
	CLEANUP_BUF struct buf names = BUF_INIT(0);
	size_t nr = 0;

	if (json_get_int(doc, "amiwright_manifest", 0) != 1)
		return error_null(err, ERROR_INPUT, 0, "not a manifest of amiwright (format 1)");
	for (size_t i = 0; i < json_length(disks); i++) {
		const struct json *disk = json_at(disks, i);

		if (!json_get(json_get(disk, "blocks"), "digests") ||
			(device && strcmp(json_get_str(disk, "device", ""), device) != 0))
			continue;
		found = disk;
		nr++;
	}
	if (nr == 1)
		return found;
	if (name_disks(disks, &names, err) < 0)
		return NULL;
	if (!names.len)
		return error_null(err, ERROR_INPUT, 0, "it has no digests of blocks");
	if (device)
		return error_null(err, ERROR_INPUT, 0, "it has no disk '%.60s': %s is right", device,
			buf_str(&names));
	return error_null(err, ERROR_INPUT, 0, "it has several disks, name one of them: %s",
		buf_str(&names));
}

static int read_digests(const struct json *digests, struct snapshot_table *t, struct error *err)
{
	struct json *value;

	for (const char *key = NULL; (key = json_next_key(digests, key, &value)) != NULL;) {
		uint8_t digest[SHA256_SIZE];
		uint64_t index;

		if (num_parse(key, UINT64_MAX, &index, NULL) < 0 ||
			hex_decode(digest, sizeof(digest), json_text(value, "")))
			return error_set(err, ERROR_INPUT, 0, "the digest of block '%.20s' is malformed", key);
		if (snapshot_table_set(t, index, digest, err) < 0)
			return -1;
	}
	return 0;
}

/* blocks.sha256 is over all digests: a manifest that was edited or cut is found. */
static int check_sum(const struct json *blocks, const struct snapshot_table *t, struct error *err)
{
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (!h)
		return -1;
	for (uint64_t i = 0; (i = snapshot_table_next(t, i)) != UINT64_MAX; i++) {
		if (snapshot_table_get(t, i, digest, err) < 0 ||
			sha256_update(h, digest, sizeof(digest), err) < 0)
			return -1;
	}
	if (sha256_final(h, digest, err) < 0)
		return -1;
	if (strcmp(hex_encode(hex, digest, sizeof(digest)), json_get_str(blocks, "sha256", "")) != 0)
		return error_set(err, ERROR_INPUT, 0, "its digests are not those that it was written with");
	return 0;
}

/* No block lies behind the disk's end. */
static int find_size(const struct json *disk, const struct snapshot_table *t, uint64_t *size,
	struct error *err)
{
	int64_t bytes = json_get_int(disk, "size", 0);
	uint64_t end = bytes > 0 ? num_div_up((uint64_t)bytes, EBS_BLOCK_SIZE) : 0;
	uint64_t behind = snapshot_table_next(t, end);

	if (bytes <= 0)
		return error_set(err, ERROR_INPUT, 0, "it lacks the size of its disk");
	if (behind != UINT64_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"block %" PRIu64 " lies behind the end of its disk of %" PRId64 " bytes", behind,
			bytes);
	*size = (uint64_t)bytes;
	return 0;
}

static int read_disk(const struct json *disk, struct snapshot_table *t, uint64_t *size,
	struct error *err)
{
	const struct json *blocks = json_get(disk, "blocks");

	if (json_get_int(blocks, "size", 0) != EBS_BLOCK_SIZE)
		return error_set(err, ERROR_INPUT, 0, "its blocks are not of %d bytes", EBS_BLOCK_SIZE);
	if (read_digests(json_get(blocks, "digests"), t, err) < 0 || check_sum(blocks, t, err) < 0)
		return -1;
	return find_size(disk, t, size, err);
}

struct snapshot_table *manifest_read_blocks(const char *path, const char *device,
	const char *spool_dir, uint64_t *size, struct error *err)
{
	CLEANUP(snapshot_table_cleanup) struct snapshot_table *t = NULL;
	CLEANUP(json_cleanup) struct json *doc = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(MAX_FILE);
	const struct json *disk;

	if (file_read(path, &text, err) < 0)
		return NULL;
	doc = json_parse(buf_str(&text), text.len, path, err);
	if (!doc)
		return NULL;
	t = snapshot_table_new(MAX_GIB * (GIB / EBS_BLOCK_SIZE), spool_dir, err);
	disk = find_disk(doc, device, err);
	if (!t || !disk || read_disk(disk, t, size, err) < 0) {
		error_wrap(err, "'%s'", path);
		return NULL;
	}
	return steal_ptr(&t);
}
