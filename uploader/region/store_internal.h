/* SPDX-License-Identifier: Apache-2.0 */
/* What store.c (tables and records) and snapshot.c (blocks) need of each other, and nobody else. */
#ifndef AMIWRIGHT_UPLOADER_REGION_STORE_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_STORE_INTERNAL_H

#include "uploader/region/store.h"

/* Takes doc, also on failure. One reference. ERROR_INPUT when doc lacks what a snapshot has. */
struct snapshot *snapshot_new(struct store *s, const char *id, struct json *doc, struct error *err)
	MUST_CHECK;
/* Its empty .img of the volume's size, and its empty .map. */
int snapshot_create_files(struct snapshot *snap, struct error *err) MUST_CHECK;
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
