/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets and objects in the folder. Names of buckets are taken over all Regions. */
#include "uploader/region/s3_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

enum { RECORD_MAX = 1024 * 1024 };

int s3_json_read(const char *path, struct json **doc, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(RECORD_MAX);

	*doc = NULL;
	if (access(path, F_OK) < 0)
		return 0;
	if (file_read(path, &text, err) < 0)
		return -1;
	*doc = json_parse(buf_str(&text), text.len, path, err);
	return *doc ? 0 : -1;
}

int s3_json_write(const char *path, const struct json *doc, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(RECORD_MAX);

	if (json_write(doc, true, &text, err) < 0)
		return -1;
	return file_write_atomic(path, text.data, text.len, 0644, false, err);
}

int s3_new_id(struct region *r, char out[S3_ID_SIZE], struct error *err)
{
	uint8_t raw[16];

	if (r->random(raw, sizeof(raw)) != 0)
		return error_set(err, ERROR_IO, 0, "no random bytes for a new id");
	hex_encode(out, raw, sizeof(raw));
	return 0;
}

void s3_bucket_release(struct s3_bucket *b)
{
	json_free(b->doc);
	free(b->dir);
	*b = (struct s3_bucket){.dir = NULL};
}

int s3_bucket_find(struct region *r, const char *name, struct s3_bucket *out, struct error *err)
{
	struct store *store;

	*out = (struct s3_bucket){.dir = NULL};
	for (size_t i = 0; (store = stores_at(&r->stores, i)); i++) {
		CLEANUP_FREE char *dir = buf_strf(err, "%s/buckets/%s", store->dir, name);
		CLEANUP_FREE char *record = dir ? buf_strf(err, "%s/bucket.json", dir) : NULL;

		if (!record || s3_json_read(record, &out->doc, err) < 0)
			return -1;
		if (out->doc) {
			out->dir = steal_ptr(&dir);
			out->region = store->name;
			return 0;
		}
	}
	return 0;
}

int s3_bucket_create(struct s3_ctx *c, const char *region, const char *ownership, struct error *err)
{
	struct store *store = stores_get(&c->region->stores, region, err);
	static const char *const folders[] = {"objects", "data", "uploads"};
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP_FREE char *record = NULL;

	if (!store || !doc)
		return -1;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		CLEANUP_FREE char *dir =
			buf_strf(err, "%s/buckets/%s/%s", store->dir, c->bucket_name, folders[i]);

		if (!dir || file_mkdirs(dir, 0755, err) < 0)
			return -1;
	}
	record = buf_strf(err, "%s/buckets/%s/bucket.json", store->dir, c->bucket_name);
	if (!record || json_set_str(doc, "owner", c->account, err) < 0 ||
	    json_set_str(doc, "ownership", ownership, err) < 0 ||
	    json_set_int(doc, "created", region_now(c->region), err) < 0)
		return -1;
	return s3_json_write(record, doc, err);
}

bool s3_bucket_has_objects(const struct s3_bucket *b)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/objects", b->dir);
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *entry;
	bool any = false;

	while (dir && !any && (entry = readdir(dir)))
		any = strstr(entry->d_name, ".json") != NULL;
	if (dir)
		closedir(dir);
	return any;
}

/* Files of a folder, and the folder. */
static void remove_folder(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	(void)rmdir(path);
}

int s3_bucket_remove(const struct s3_bucket *b, struct error *err)
{
	CLEANUP_FREE char *record = buf_strf(err, "%s/bucket.json", b->dir);
	CLEANUP_FREE char *uploads = buf_strf(err, "%s/uploads", b->dir);
	CLEANUP_FREE char *objects = buf_strf(err, "%s/objects", b->dir);
	CLEANUP_FREE char *data = buf_strf(err, "%s/data", b->dir);
	const struct dirent *entry;
	DIR *dir;

	if (!record || !uploads || !objects || !data)
		return -1;
	if (unlink(record) < 0)
		return error_set(err, ERROR_IO, errno, "cannot remove '%s'", record);
	dir = opendir(uploads);
	while (dir && (entry = readdir(dir))) {
		CLEANUP_FREE char *one = buf_strf(err, "%s/%s", uploads, entry->d_name);

		if (one && entry->d_name[0] != '.')
			remove_folder(one);
	}
	if (dir)
		closedir(dir);
	remove_folder(uploads);
	remove_folder(objects);
	remove_folder(data);
	(void)rmdir(b->dir);
	return 0;
}

static char *object_path(const struct s3_bucket *b, const char *key, struct error *err)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (sha256(key, strlen(key), digest, err) < 0)
		return NULL;
	return buf_strf(err, "%s/objects/%s.json", b->dir, hex_encode(hex, digest, sizeof(digest)));
}

char *s3_data_path(const struct s3_bucket *b, const char *id, struct error *err)
{
	return buf_strf(err, "%s/data/%s", b->dir, id);
}

struct json *s3_object_read(const struct s3_bucket *b, const char *key, struct error *err)
{
	CLEANUP_FREE char *path = object_path(b, key, err);
	struct json *doc = NULL;

	return path && s3_json_read(path, &doc, err) == 0 ? doc : NULL;
}

static void remove_content(const struct s3_bucket *b, const struct json *doc)
{
	const char *id = json_get_str(doc, "data", NULL);
	CLEANUP_FREE char *path = id ? s3_data_path(b, id, NULL) : NULL;

	if (path)
		(void)unlink(path);
}

int s3_object_write(const struct s3_bucket *b, const char *key, const struct json *doc, struct error *err)
{
	CLEANUP_FREE char *path = object_path(b, key, err);
	CLEANUP(json_cleanup) struct json *old = NULL;

	if (!path || s3_json_read(path, &old, err) < 0 || s3_json_write(path, doc, err) < 0)
		return -1;
	remove_content(b, old);
	return 0;
}

int s3_object_rewrite(const struct s3_bucket *b, const char *key, const struct json *doc, struct error *err)
{
	CLEANUP_FREE char *path = object_path(b, key, err);

	return path ? s3_json_write(path, doc, err) : -1;
}

int s3_bucket_save(const struct s3_bucket *b, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/bucket.json", b->dir);

	return path ? s3_json_write(path, b->doc, err) : -1;
}

int s3_object_remove(const struct s3_bucket *b, const char *key, struct error *err)
{
	CLEANUP_FREE char *path = object_path(b, key, err);
	CLEANUP(json_cleanup) struct json *old = NULL;

	if (!path || s3_json_read(path, &old, err) < 0)
		return -1;
	if (old && unlink(path) < 0)
		return error_set(err, ERROR_IO, errno, "cannot remove '%s'", path);
	remove_content(b, old);
	return 0;
}
