/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside creds.c and creds_ini.c: lookup in the text of a shared credentials or config file.
 */
#ifndef AMIWRIGHT_UPLOADER_CREDS_INTERNAL_H
#define AMIWRIGHT_UPLOADER_CREDS_INTERNAL_H

#include "base/error.h"

#include <stdbool.h>

/*
 * True when the file has a section of that kind and name: kind "profile", "services", or NULL for
 * "[name]".
 */
bool creds_ini_has(const char *text, const char *kind, const char *name);

/*
 * The value of key in that section, the last one when there are several (sections may repeat);
 * *value stays NULL when there is none. With sub, the indented "sub = value" below an empty "key
 * =". The caller frees *value.
 */
int creds_ini_get(const char *text, const char *kind, const char *name, const char *key,
	const char *sub, char **value, struct error *err) MUST_CHECK;

#endif
