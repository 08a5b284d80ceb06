/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder: tables of snapshots and images in memory, one JSON file for each on disk. A record is
 * written whole under another name and renamed, so that a kill leaves the old one or the new one.
 * snapshot.c has the blocks.
 */
#include "uploader/region/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/file.h"
#include "uploader/region/keys.h"
#include "uploader/region/record.h"
#include "uploader/region/settings.h"
#include "uploader/region/store_internal.h"

enum { RECORD_MAX = 4 * 1024 * 1024 };

/* Both tables hold pointers to structs; the id is found by these. */
static const char *snapshot_id_at(const struct store *s, size_t i)
{
	return s->snapshots[i]->id;
}

static const char *image_id_at(const struct store *s, size_t i)
{
	return s->images[i]->id;
}

/* Index of the first id that is not below; *found says whether it is that id. */
static size_t store_search(const struct store *s, size_t nr,
	const char *(*id_at)(const struct store *, size_t), const char *id, bool *found)
{
	size_t low = 0;

	while (low < nr) {
		size_t mid = low + (nr - low) / 2;
		int order = strcmp(id_at(s, mid), id);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			low = mid + 1;
		else
			nr = mid;
	}
	*found = false;
	return low;
}

struct snapshot *store_find_snapshot(struct store *s, const char *id)
{
	bool found;
	size_t i = store_search(s, s->nr_snapshots, snapshot_id_at, id, &found);

	return found && !json_get_bool(s->snapshots[i]->doc, "deleted", false) ? s->snapshots[i] :
										 NULL;
}

const char *snapshot_owner(const struct snapshot *snap)
{
	return json_get_str(snap->doc, "owner", "");
}

const char *image_owner(const struct image *image)
{
	return json_get_str(image->doc, "imageOwnerId", "");
}

struct snapshot *store_find_token(struct store *s, const char *owner, const char *client_token)
{
	for (size_t i = 0; i < s->nr_snapshots; i++) {
		struct snapshot *snap = s->snapshots[i];
		const char *token = json_get_str(snap->doc, "clientToken", NULL);

		if (token && strcmp(token, client_token) == 0 &&
		    strcmp(snapshot_owner(snap), owner) == 0 &&
		    !json_get_bool(snap->doc, "deleted", false))
			return snap;
	}
	return NULL;
}

struct image *store_find_image(struct store *s, const char *id)
{
	bool found;
	size_t i = store_search(s, s->nr_images, image_id_at, id, &found);

	return found ? s->images[i] : NULL;
}

static bool image_is_there(const struct image *image)
{
	return strcmp(json_get_str(image->doc, "imageState", ""), "deregistered") != 0;
}

struct image *store_find_image_name(struct store *s, const char *owner, const char *name)
{
	for (size_t i = 0; i < s->nr_images; i++)
		if (image_is_there(s->images[i]) &&
		    strcmp(image_owner(s->images[i]), owner) == 0 &&
		    strcmp(json_get_str(s->images[i]->doc, "name", ""), name) == 0)
			return s->images[i];
	return NULL;
}

static bool image_uses(const struct image *image, const char *snapshot_id)
{
	const struct json *mapping = json_get(image->doc, "blockDeviceMapping");

	for (size_t i = 0; i < json_length(mapping); i++) {
		const struct json *ebs = json_get(json_at(mapping, i), "ebs");

		if (strcmp(json_get_str(ebs, "snapshotId", ""), snapshot_id) == 0)
			return true;
	}
	return false;
}

struct image *store_snapshot_user(struct store *s, const char *snapshot_id)
{
	for (size_t i = 0; i < s->nr_images; i++)
		if (image_is_there(s->images[i]) && image_uses(s->images[i], snapshot_id))
			return s->images[i];
	return NULL;
}

int store_new_id(struct store *s, const char *prefix, char id[STORE_ID_SIZE], struct error *err)
{
	uint8_t raw[8];
	char hex[17];
	size_t len = strlen(prefix);

	do {
		if (s->random(raw, sizeof(raw)) != 0)
			return error_set(err, ERROR_IO, 0, "no random bytes for a new id");
		memcpy(id, prefix, len);
		id[len] = '0';
		memcpy(id + len + 1, hex_encode(hex, raw, sizeof(raw)), sizeof(hex));
	} while (store_find_snapshot(s, id) || store_find_image(s, id));
	return 0;
}

/* Makes room for one more pointer at `at` of a table. */
static int table_insert(void ***table, size_t *nr, size_t *alloc, size_t at, void *item,
	struct error *err)
{
	if (ARRAY_GROW(*table, *nr + 1, *alloc, "table of the region", err) < 0)
		return -1;
	memmove(*table + at + 1, *table + at, (*nr - at) * sizeof(void *));
	(*table)[at] = item;
	++*nr;
	return 0;
}

static struct snapshot *store_insert_snapshot(struct store *s, const char *id, struct json *doc,
	struct error *err)
{
	struct snapshot *snap = snapshot_new(s, id, doc, err);
	bool found;

	if (!snap)
		return NULL;
	if (table_insert((void ***)&s->snapshots, &s->nr_snapshots, &s->alloc_snapshots,
		    store_search(s, s->nr_snapshots, snapshot_id_at, id, &found), snap, err) < 0) {
		snapshot_put(snap);
		return NULL;
	}
	return snap;
}

static void store_take_out(struct store *s, const struct snapshot *snap)
{
	bool found;
	size_t i = store_search(s, s->nr_snapshots, snapshot_id_at, snap->id, &found);

	memmove(s->snapshots + i, s->snapshots + i + 1,
		(s->nr_snapshots - i - 1) * sizeof(s->snapshots[0]));
	s->nr_snapshots--;
}

struct snapshot *store_add_copy(struct store *s, const char *id, struct json *doc,
	const struct snapshot *source, struct error *err)
{
	struct snapshot *snap = store_insert_snapshot(s, id, doc, err);

	if (!snap)
		return NULL;
	if ((source ? snapshot_link_files(snap, source, err) : snapshot_create_files(snap, err)) < 0 ||
	    store_save_snapshot(snap, err) < 0) {
		snapshot_unlink(snap);
		store_take_out(s, snap);
		snapshot_put(snap);
		return NULL;
	}
	return snap;
}

struct snapshot *store_add_snapshot(struct store *s, const char *id, struct json *doc,
	struct error *err)
{
	return store_add_copy(s, id, doc, NULL, err);
}

static struct image *store_insert_image(struct store *s, const char *id, struct json *doc,
	struct error *err)
{
	struct image *image = calloc(1, sizeof(*image));
	bool found;

	if (!image || strlen(id) >= sizeof(image->id)) {
		json_free(doc);
		free(image);
		error_nomem(err, "image");
		return NULL;
	}
	memcpy(image->id, id, strlen(id) + 1);
	image->doc = doc;
	if (table_insert((void ***)&s->images, &s->nr_images, &s->alloc_images,
		    store_search(s, s->nr_images, image_id_at, id, &found), image, err) < 0) {
		json_free(doc);
		free(image);
		return NULL;
	}
	return image;
}

struct image *store_add_image(struct store *s, const char *id, struct json *doc, struct error *err)
{
	struct image *image = store_insert_image(s, id, doc, err);

	if (image && store_save_image(s, image, err) < 0) {
		bool found;
		size_t i = store_search(s, s->nr_images, image_id_at, id, &found);

		memmove(s->images + i, s->images + i + 1,
			(s->nr_images - i - 1) * sizeof(s->images[0]));
		s->nr_images--;
		json_free(image->doc);
		free(image);
		return NULL;
	}
	return image;
}

static int save_record(const char *dir, const char *kind, const char *id, struct json **doc,
	struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/%s/%s.json", dir, kind, id);

	return path ? record_save(path, doc, RECORD_MAX, NULL, err) : -1;
}

int store_save_snapshot(struct snapshot *snap, struct error *err)
{
	return save_record(snap->store->dir, "snapshots", snap->id, &snap->doc, err);
}

int store_save_image(struct store *s, struct image *image, struct error *err)
{
	return save_record(s->dir, "images", image->id, &image->doc, err);
}

/* True when a pending snapshot still needs this one's content. */
static bool store_has_pending_child(const struct store *s, const struct snapshot *parent)
{
	for (size_t i = 0; i < s->nr_snapshots; i++)
		if (atomic_load(&s->snapshots[i]->status) == SNAPSHOT_PENDING &&
		    strcmp(json_get_str(s->snapshots[i]->doc, "parent", ""), parent->id) == 0)
			return true;
	return false;
}

int store_delete_snapshot(struct store *s, struct snapshot *snap, struct error *err)
{
	if (store_has_pending_child(s, snap)) {
		if (json_set_bool(snap->doc, "deleted", true, err) < 0)
			return -1;
		return store_save_snapshot(snap, err);
	}
	atomic_store(&snap->completing, true); /* writers that hold a reference stop */
	store_take_out(s, snap);
	snapshot_unlink(snap);
	snapshot_put(snap);
	return 0;
}

void store_reap(struct store *s, const char *parent_id)
{
	bool found;
	size_t i = store_search(s, s->nr_snapshots, snapshot_id_at, parent_id, &found);
	struct snapshot *parent = found ? s->snapshots[i] : NULL;

	if (parent && json_get_bool(parent->doc, "deleted", false) &&
	    !store_has_pending_child(s, parent)) {
		store_take_out(s, parent);
		snapshot_unlink(parent);
		snapshot_put(parent);
	}
}

struct snapshot *store_find_parent(struct store *s, const char *id)
{
	bool found;
	size_t i = store_search(s, s->nr_snapshots, snapshot_id_at, id, &found);

	return found ? s->snapshots[i] : NULL;
}

/* One record: dir/kind/name, whose name is "<id>.json". */
static int load_record(struct store *s, bool images, const char *name, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(RECORD_MAX);
	CLEANUP_FREE char *path =
		buf_strf(err, "%s/%s/%s", s->dir, images ? "images" : "snapshots", name);
	CLEANUP_FREE char *id = strndup(name, strlen(name) - strlen(".json"));
	CLEANUP(json_cleanup) struct json *doc = NULL;

	if (!path)
		return -1;
	if (!id)
		return error_nomem(err, "record");
	if (file_read(path, &text, err) < 0)
		return -1;
	doc = json_parse(buf_str(&text), text.len, path, err);
	if (!doc)
		return -1;
	if (!json_is_object(doc) || strlen(id) >= STORE_ID_SIZE)
		return error_set(err, ERROR_INPUT, 0, "'%s' is not a record of the local region",
			path);
	if (images)
		return store_insert_image(s, id, steal_ptr(&doc), err) ? 0 : -1;
	return store_insert_snapshot(s, id, steal_ptr(&doc), err) ? 0 : -1;
}

static int load_folder(struct store *s, bool images, struct error *err)
{
	CLEANUP_FREE char *path =
		buf_strf(err, "%s/%s", s->dir, images ? "images" : "snapshots");
	const char *prefix = images ? "ami-" : "snap-";
	struct dirent *entry;
	int ret = 0;
	DIR *dir;

	if (!path || file_mkdirs(path, 0755, err) < 0)
		return -1;
	if (!images) {
		s->snapshots_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->snapshots_fd < 0)
			return error_set(err, ERROR_IO, errno, "cannot open folder '%s'", path);
	}
	dir = opendir(path);
	if (!dir)
		return error_set(err, ERROR_IO, errno, "cannot read folder '%s'", path);
	while (ret == 0 && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && len > 5 &&
		    strcmp(entry->d_name + len - 5, ".json") == 0)
			ret = load_record(s, images, entry->d_name, err);
	}
	closedir(dir);
	return ret;
}

/* Content without a record: a server was killed between the two. */
static int remove_orphans(struct store *s, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/snapshots", s->dir);
	DIR *dir = path ? opendir(path) : NULL;
	struct dirent *entry;

	if (!path)
		return -1;
	if (!dir)
		return error_set(err, ERROR_IO, errno, "cannot read folder '%s'", path);
	while ((entry = readdir(dir))) {
		const char *dot = strrchr(entry->d_name, '.');
		char id[STORE_ID_SIZE];

		if (!dot || (strcmp(dot, ".img") != 0 && strcmp(dot, ".map") != 0) ||
		    (size_t)(dot - entry->d_name) >= sizeof(id))
			continue;
		memcpy(id, entry->d_name, (size_t)(dot - entry->d_name));
		id[dot - entry->d_name] = '\0';
		if (!store_find_parent(s, id))
			(void)unlinkat(s->snapshots_fd, entry->d_name, 0);
	}
	closedir(dir);
	return 0;
}

struct store *store_open(const char *dir, const char *name, int (*random)(void *buf, size_t len),
	struct error *err)
{
	CLEANUP(store_cleanup) struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the store");
	s->snapshots_fd = -1;
	s->random = random;
	memcpy(s->name, name, strnlen(name, sizeof(s->name) - 1));
	pthread_mutex_init(&s->lock, NULL);
	s->dir = strdup(dir);
	if (!s->dir)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the store");
	if (load_folder(s, false, err) < 0 || remove_orphans(s, err) < 0 ||
	    load_folder(s, true, err) < 0 || settings_load(s, err) < 0 ||
	    keys_load(s, err) < 0)
		return NULL;
	return steal_ptr(&s);
}

void store_close(struct store *s)
{
	for (size_t i = 0; i < s->nr_snapshots; i++)
		snapshot_put(s->snapshots[i]);
	free(s->snapshots);
	for (size_t i = 0; i < s->nr_images; i++) {
		json_free(s->images[i]->doc);
		free(s->images[i]);
	}
	free(s->images);
	json_free(s->settings);
	json_free(s->keys);
	if (s->snapshots_fd >= 0)
		close(s->snapshots_fd);
	pthread_mutex_destroy(&s->lock);
	free(s->dir);
	free(s);
}
