/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stays of uploads between runs: where their journals are, what they are recognised by, and
 * what they left in AWS when nobody came back.
 */
#ifndef AMIWRIGHT_BUILDER_UPLOAD_STATE_H
#define AMIWRIGHT_BUILDER_UPLOAD_STATE_H

#include "builder/context.h"
#include "uploader/snapshot.h"

/*
 * "IMAGE.REGION.amiwright-upload" ("local-REGION" for a server on this machine), so that uploads to
 * several regions do not meet; in the state folder when IMAGE is a device or its folder cannot be
 * written. The caller's to free.
 */
char *upload_journal_of_file(struct context *ctx, const char *image, struct error *err) MUST_CHECK;

/*
 * What the file is and whether it may have changed: size, time, inode. The caller's to free.
 */
char *upload_source_of_file(const char *image, struct error *err) MUST_CHECK;
/*
 * The same for a copy on any machine: size, and a digest of its beginning and of samples. It tells
 * apart what differs in many places; a proof it is not. The caller's to free.
 */
char *upload_source_of_copy(struct dev *dev, struct error *err) MUST_CHECK;

enum { UPLOAD_NAME_SIZE = 41, UPLOAD_TOKEN_SIZE = 65 };
/* The value of SNAPSHOT_TAG for an image: the same on every machine for one name and size. */
int upload_name_of_file(const char *image, char name[UPLOAD_NAME_SIZE], struct error *err) MUST_CHECK;
/* A new client token. */
int upload_make_token(char token[UPLOAD_TOKEN_SIZE], struct error *err) MUST_CHECK;

/*
 * Warns of pending snapshots of this name: of runs whose journal is not here. Failures are not
 * worth a word.
 */
void upload_warn_of_lost(struct aws *aws, const char *name);

/*
 * Deletes the pending and failed snapshots of this name (NULL: of any) that uploads have started,
 * also those that another process is sending at this moment. dry_run: only finds them. out gets the
 * ids, a line each.
 */
int upload_clean_up(struct context *ctx, const char *name, bool dry_run, struct buf *out,
	struct error *err) MUST_CHECK;

#endif
