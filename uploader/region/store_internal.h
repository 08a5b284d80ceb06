/* SPDX-License-Identifier: Apache-2.0 */
/* What store.c (tables and records) and snapshot*.c (blocks) need of each other, and nobody else. */
#ifndef AMIWRIGHT_UPLOADER_REGION_STORE_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_STORE_INTERNAL_H

#include "uploader/region/store.h"

enum { SNAPSHOT_MAP_MAX = 1 << 30 }; /* bytes of a .map */

/* Takes doc, also on failure. One reference. ERROR_INPUT when doc lacks what a snapshot has. */
struct snapshot *snapshot_new(struct store *s, const char *id, struct json *doc, struct error *err)
	MUST_CHECK;
/* Its empty .img of the volume's size, and its empty .map. */
int snapshot_create_files(struct snapshot *snap, struct error *err) MUST_CHECK;
/*
 * Opens .img or .map (ext) in the store's folder; flags are open()'s. The caller closes it; ERROR_IO
 * naming the file.
 */
int snapshot_open_file(const struct snapshot *snap, const char *ext, int flags, struct error *err)
	MUST_CHECK;
/* Opens what writing needs, after a restart. With snap->lock held. */
int snapshot_open_for_writing(struct snapshot *snap, struct error *err) MUST_CHECK;
/* Closes what writing needed. */
void snapshot_close_files(struct snapshot *snap);
/* When the .map was last written to, in seconds since 1970; INT64_MIN when there is none. */
int64_t snapshot_map_time(const struct snapshot *snap);
/* Whether that is the digest of a block of zeros, which is kept as a hole. */
bool snapshot_is_zeros(const uint8_t digest[SHA256_SIZE]);
/* Content and map of a completed one, as links or copies. */
int snapshot_link_files(struct snapshot *snap, const struct snapshot *source, struct error *err)
	MUST_CHECK;
/* Removes all its files; content that is open stays readable. */
void snapshot_unlink(const struct snapshot *snap);

/* Also one that was deleted while children were pending. */
struct snapshot *store_find_parent(struct store *s, const char *id);
/* A child has ended: a parent that was only kept for it goes. */
void store_reap(struct store *s, const char *parent_id);

#endif
