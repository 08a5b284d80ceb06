/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Form decoding in place: the text is copied once, names and values point into the copy. Look-ups
 * scan; the number of parameters is bounded, and so the square of it.
 */
#include "uploader/region/form.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/num.h"

/* Decodes in place; true when an escape is not one, or stands for NUL. */
static bool form_decode(char *text)
{
	char *out = text;

	for (; *text; text++) {
		char digits[3] = "", byte;

		if (*text == '+') {
			*out++ = ' ';
			continue;
		}
		if (*text != '%') {
			*out++ = *text;
			continue;
		}
		memcpy(digits, text + 1, strnlen(text + 1, 2));
		if (hex_decode(&byte, 1, digits) || !byte)
			return true;
		*out++ = byte;
		text += 2;
	}
	*out = '\0';
	return false;
}

static int form_add(struct form *f, char *item, struct error *err)
{
	char *value = strchr(item, '=');

	if (f->nr == FORM_MAX_PARAMS)
		return error_set(err, ERROR_INPUT, 0, "more than %d parameters", FORM_MAX_PARAMS);
	if (ARRAY_GROW(f->params, f->nr + 1, f->alloc, "parameters", err) < 0)
		return -1;
	if (value)
		*value++ = '\0';
	else
		value = item + strlen(item);
	if (form_decode(item) || form_decode(value))
		return error_set(err, ERROR_INPUT, 0, "a parameter has a damaged escape");
	f->params[f->nr++] = (struct form_param){.name = item, .value = value};
	return 0;
}

int form_parse(struct form *f, const char *text, size_t len, struct error *err)
{
	char *item, *end;

	if (len == 0)
		return 0;
	if (memchr(text, '\0', len))
		return error_set(err, ERROR_INPUT, 0, "parameters hold a NUL");
	if (f->nr_texts == ARRAY_SIZE(f->texts))
		return error_set(err, ERROR_BUG, 0, "too many parameter texts");
	item = strndup(text, len);
	if (!item)
		return error_nomem(err, "parameters");
	f->texts[f->nr_texts++] = item;
	for (; item; item = end) {
		end = strchr(item, '&');
		if (end)
			*end++ = '\0';
		if (*item && form_add(f, item, err) < 0)
			return -1;
	}
	return 0;
}

void form_release(struct form *f)
{
	for (size_t i = 0; i < f->nr_texts; i++)
		free(f->texts[i]);
	free(f->params);
	*f = (struct form)FORM_INIT;
}

const char *form_get(struct form *f, const char *name)
{
	for (size_t i = 0; i < f->nr; i++) {
		if (strcmp(f->params[i].name, name) == 0) {
			f->params[i].used = true;
			return f->params[i].value;
		}
	}
	return NULL;
}

const char *form_getf(struct form *f, const char *fmt, ...)
{
	char name[128];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	return n < 0 || (size_t)n >= sizeof(name) ? NULL : form_get(f, name);
}

bool form_has_prefix(const struct form *f, const char *prefix)
{
	size_t len = strlen(prefix);

	for (size_t i = 0; i < f->nr; i++)
		if (strncmp(f->params[i].name, prefix, len) == 0)
			return true;
	return false;
}

const char *form_unused(const struct form *f)
{
	for (size_t i = 0; i < f->nr; i++)
		if (!f->params[i].used)
			return f->params[i].name;
	return NULL;
}
