/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values: a thin face over jansson, so that one place knows the library. Objects keep the
 * order in which keys were set. Numbers: 64-bit integers and doubles. Text is UTF-8; bytes that are
 * not are refused by the parser and become U+FFFD in the setters (texts and keys). Control characters,
 * DEL and those of C1 too, are written as escapes.
 *
 * Ownership: `_new`/`json_parse` results are the caller's (json_free); the setters and
 * json_append() take the value, also on failure; the getters lend it.
 *
 * json_object, json_array and json_integer are symbols of jansson, which calls them itself: a
 * function of ours with such a name would be called in their place.
 */
#ifndef AMIWRIGHT_BASE_JSON_H
#define AMIWRIGHT_BASE_JSON_H

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct json;

/*
 * Any value; a key that comes twice is refused. Errors name line and column. what: the text's name
 * for messages.
 */
struct json *json_parse(
	const char *text, size_t len, const char *what, struct error *err) MUST_CHECK;
void json_free(struct json *j);
DEFINE_CLEANUP(json, struct json, json_free)

/* Empty ones, the caller's; NULL only when out of memory. */
struct json *json_new_object(struct error *err) MUST_CHECK;
struct json *json_new_array(struct error *err) MUST_CHECK;

/*
 * Setters on an object; a NULL text sets JSON null. They return -1 only when out of memory, or with
 * err untouched when the value is NULL: json_set(o, k, json_new_array(err), err) needs one check.
 */
int json_set(struct json *obj, const char *key, struct json *value, struct error *err) MUST_CHECK;
int json_set_str(struct json *obj, const char *key, const char *text, struct error *err) MUST_CHECK;
int json_set_int(struct json *obj, const char *key, int64_t value, struct error *err) MUST_CHECK;
int json_set_bool(struct json *obj, const char *key, bool value, struct error *err) MUST_CHECK;
int json_append(struct json *arr, struct json *value, struct error *err) MUST_CHECK;
int json_append_str(struct json *arr, const char *text, struct error *err) MUST_CHECK;

/* Getters: the fallback (or NULL) when obj is NULL, the key is absent, null, or of another type. */
struct json *json_get(const struct json *obj, const char *key);
const char *json_get_str(const struct json *obj, const char *key, const char *fallback);
/* Takes reals too (1.79E9), cut to an integer. */
int64_t json_get_int(const struct json *obj, const char *key, int64_t fallback);
bool json_get_bool(const struct json *obj, const char *key, bool fallback);
bool json_is_object(const struct json *j);
bool json_is_array(const struct json *j);
size_t json_length(const struct json *arr);
struct json *json_at(const struct json *arr, size_t index);
/* The value itself as text or integer. */
const char *json_text(const struct json *j, const char *fallback);
int64_t json_int(const struct json *j, int64_t fallback);
/*
 * The key after `key` (one that this function lent, or NULL for the first) and its value; NULL
 * after the last. O(1), for loops over large objects; obj must not change meanwhile.
 */
const char *json_next_key(const struct json *obj, const char *key, struct json **value);

/* Appends the value as text: compact, or indented by two spaces with a newline at the end. */
int json_write(const struct json *j, bool pretty, struct buf *out, struct error *err) MUST_CHECK;

#endif
