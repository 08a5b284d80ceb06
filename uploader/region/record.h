/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON document in memory and its twin on disk. What answers come from is never ahead of the file. */
#ifndef AMIWRIGHT_UPLOADER_REGION_RECORD_H
#define AMIWRIGHT_UPLOADER_REGION_RECORD_H

#include "base/json.h"

/*
 * Writes the document whole under another name and renames it: a kill leaves the old one or the
 * new one. When that fails *doc is replaced by what the file has, so pointers into it are not good
 * any more; by the JSON text `initial` when there is no file, or not at all when that is NULL.
 */
int record_save(const char *path, struct json **doc, size_t max, const char *initial,
	struct error *err) MUST_CHECK;

#endif
