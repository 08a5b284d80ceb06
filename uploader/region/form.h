/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of a query string or of an application/x-www-form-urlencoded body, with a mark on each
 * that was asked for, so that a call can refuse parameters that it does not know.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_FORM_H
#define AMIWRIGHT_UPLOADER_REGION_FORM_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum { FORM_MAX_PARAMS = 4096 };

struct form_param {
	char *name, *value; /* inside text */
	bool used;
};

struct form {
	char *texts[2]; /* owned */
	size_t nr_texts;
	struct form_param *params; /* owned */
	size_t nr, alloc;
};

#define FORM_INIT {.nr = 0}

/* Adds the parameters of one text (twice at most). ERROR_INPUT for bad escapes, NULs, too many. */
int form_parse(struct form *f, const char *text, size_t len, struct error *err) MUST_CHECK;
void form_release(struct form *f);

/* Value of the parameter of that name (marked as used) or NULL. */
const char *form_get(struct form *f, const char *name);
const char *form_getf(struct form *f, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* True when a parameter begins so ("BlockDeviceMapping.2."). */
bool form_has_prefix(const struct form *f, const char *prefix);
/* A parameter nobody asked for, or NULL. */
const char *form_unused(const struct form *f);

#endif
