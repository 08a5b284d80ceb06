/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots and images of one Region, in DIR/regions/NAME: what is in memory, and its twin on disk. Every change
 * is in the files before the call returns, so that kill -9 loses nothing; the content of a
 * completed snapshot also survives a power cut.
 *
 * Locks, in this order: store->lock guards the tables and every record's `doc`; snapshot->lock
 * guards the content and the map until they are sealed.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_STORE_H
#define AMIWRIGHT_UPLOADER_REGION_STORE_H

#include "base/hash.h"
#include "base/json.h"
#include "uploader/region/accounts.h"
#include "uploader/region/blockmap.h"
#include "uploader/region/names.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	STORE_BLOCK_SIZE = 524288,
	STORE_BLOCKS_PER_GIB = 2048,
	STORE_MAX_GIB = 65536,
	STORE_ID_SIZE = 32,  /* "snap-0123456789abcdef0" and a NUL, with room */
};

struct store {
	pthread_mutex_t lock;
	char name[REGION_NAME_SIZE];
	char *dir;          /* DIR/regions/NAME; owned */
	int snapshots_fd;   /* its snapshots/ */
	struct snapshot **snapshots; /* sorted by id; owned */
	size_t nr_snapshots, alloc_snapshots;
	struct image **images;       /* sorted by id; owned */
	size_t nr_images, alloc_images;
	struct json *settings;       /* settings.h; owned */
	struct json *keys;           /* keys.h; owned */
	int (*random)(void *buf, size_t len);
};

enum snapshot_status { SNAPSHOT_PENDING, SNAPSHOT_COMPLETED, SNAPSHOT_ERROR };

/*
 * doc (the .json) holds: owner (account), status, statusMessage, size (GiB), start (seconds since 1970), timeout
 * (minutes), description, parent, kmsKey, encrypted, clientToken, request (digest of the start's
 * parameters), answer (text of the start's answer), tags [{Key, Value}], count, aggregate, checked,
 * blocks (number of them in a completed one), copy (see copy.h), createVolumePermission, deleted.
 */
struct snapshot {
	struct store *store;        /* borrowed */
	char id[STORE_ID_SIZE];
	atomic_uint refs;
	struct json *doc;           /* owned; under store->lock */
	uint64_t size_gib;
	int64_t blocks;             /* of one that was completed when it was loaded; else -1 */
	atomic_int status;          /* enum snapshot_status */
	atomic_bool completing;     /* CompleteSnapshot came: no more writes */
	uint64_t complete_at_ms;    /* monotonic; under store->lock */
	_Atomic int64_t last_write; /* seconds since 1970 */

	pthread_mutex_t lock;
	struct blockmap map;
	bool map_loaded, reloaded;  /* reloaded: begun under an earlier server */
	int img_fd, map_fd;         /* of a pending one that is written; else -1 */
	uint64_t map_end;           /* bytes of whole records in the .map */
};

struct image {
	char id[STORE_ID_SIZE];
	struct json *doc; /* owned; keys are EC2's element names */
};

/*
 * Reads the folder; makes what is missing. A record that cannot be read is an error naming the
 * file.
 */
struct store *store_open(const char *dir, const char *name, int (*random)(void *buf, size_t len),
	struct error *err) MUST_CHECK;
/* Frees what is in memory: the files are whole at any time. */
void store_close(struct store *s);
DEFINE_CLEANUP(store, struct store, store_close)

/* "snap-0…" of 17 hex digits that nothing has. */
int store_new_id(struct store *s, const char *prefix, char id[STORE_ID_SIZE], struct error *err)
	MUST_CHECK;

/*
 * With store->lock held: borrowed while it is held, or by snapshot_get(). Deleted ones are not
 * found.
 */
struct snapshot *store_find_snapshot(struct store *s, const char *id);
/* The one that an account began with this client token, or NULL. */
struct snapshot *store_find_token(struct store *s, const char *owner, const char *client_token);
struct image *store_find_image(struct store *s, const char *id);
/* An image of that account that is there under this name. */
struct image *store_find_image_name(struct store *s, const char *owner, const char *name);
/* Account ids, "" when a record lacks it. */
const char *snapshot_owner(const struct snapshot *snap);
const char *image_owner(const struct image *image);
/* An image whose mapping has the snapshot, or NULL. */
struct image *store_snapshot_user(struct store *s, const char *snapshot_id);

/* Takes doc (also on failure). With store->lock held. NULL on error. */
struct snapshot *store_add_snapshot(struct store *s, const char *id, struct json *doc,
	struct error *err) MUST_CHECK;
struct image *store_add_image(struct store *s, const char *id, struct json *doc, struct error *err)
	MUST_CHECK;
/*
 * One whose content is that of a completed snapshot, maybe of another store. doc needs "copy", of
 * copy.h.
 */
struct snapshot *store_add_copy(struct store *s, const char *id, struct json *doc,
	const struct snapshot *source, struct error *err) MUST_CHECK;
/* Writes doc to disk; when that fails it is again what the file has. With store->lock held. */
int store_save_snapshot(struct snapshot *snap, struct error *err) MUST_CHECK;
/* The same of an image. */
int store_save_image(struct store *s, struct image *image, struct error *err) MUST_CHECK;
/* With store->lock held. Content stays until no pending child needs it and no reader holds it. */
int store_delete_snapshot(struct store *s, struct snapshot *snap, struct error *err) MUST_CHECK;

/* References for use without store->lock. */
struct snapshot *snapshot_get(struct snapshot *snap);
void snapshot_put(struct snapshot *snap);
DEFINE_CLEANUP(snapshot, struct snapshot, snapshot_put)

/* "pending", "completed", "error". */
const char *snapshot_status_name(enum snapshot_status status);
/* Sets the status here and on disk, or nowhere; message may be NULL. With store->lock held. */
int snapshot_set_status(struct snapshot *snap, enum snapshot_status status, const char *message,
	struct error *err) MUST_CHECK;
/*
 * Brings a pending one up to date: cancels it when its Timeout has passed, completes it when
 * CompleteSnapshot came and the delay is over. With store->lock held. now in seconds, now_ms
 * monotonic.
 */
int snapshot_settle(struct snapshot *snap, int64_t now, uint64_t now_ms, struct error *err) MUST_CHECK;

enum snapshot_write { SNAPSHOT_WRITTEN, SNAPSHOT_CLOSED, SNAPSHOT_WRITE_FAILED };
/*
 * Stores one block (STORE_BLOCK_SIZE bytes) whose digest was checked. Needs a reference, no lock.
 */
enum snapshot_write snapshot_write_block(struct snapshot *snap, uint64_t index, const void *data,
	const uint8_t digest[SHA256_SIZE], int64_t now, struct error *err);
/* Reads the map from disk if that was not done; then it may be read without a lock if completed. */
int snapshot_load_map(struct snapshot *snap, struct error *err) MUST_CHECK;
/* Brings the content to the disk itself. Takes as long as the disk does; no lock is held. */
int snapshot_sync(const struct snapshot *snap, struct error *err) MUST_CHECK;
/* A descriptor of the content, for reading; the caller's. */
int snapshot_open_content(const struct snapshot *snap, struct error *err) MUST_CHECK;

#endif
