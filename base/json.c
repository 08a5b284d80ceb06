/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one file that knows jansson. A struct json is a json_t. What is added to the library: its
 * failures become error objects, and text that is not UTF-8 (file names) can be stored, with U+FFFD
 * where it was wrong.
 */
#include "base/json.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include <jansson.h>
/* The library's macros with names of ours. */
#undef json_is_object
#undef json_is_array

#include "base/text.h"

static json_t *unwrap(const struct json *j)
{
	union {
		const struct json *in;
		json_t *out;
	} cast = {.in = j};

	return cast.out;
}

static struct json *wrap(json_t *j)
{
	return (struct json *)j;
}

/*
 * The library's parser reports a failed allocation as a fault of the text. So its allocations go
 * through here, where a failure is remembered for the thread.
 */
static _Thread_local bool no_memory;

static void *noting_malloc(size_t size)
{
	void *p = malloc(size);

	no_memory = no_memory || !p;
	return p;
}

static void set_allocator(void)
{
	json_set_alloc_funcs(noting_malloc, free);
}

struct json *json_parse(const char *text, size_t len, const char *what, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	json_error_t why;
	json_t *j;

	pthread_once(&once, set_allocator);
	no_memory = false;
	j = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
	if (j && !no_memory)
		return wrap(j);
	if (no_memory) {
		json_decref(j); /* one failure makes the lexer stop early, with an object that lacks keys */
		error_nomem(err, "a JSON text");
		return NULL;
	}
	return error_null(err, ERROR_INPUT, 0, "%s is not valid JSON: line %d, column %d: %s", what,
		why.line, why.column, why.text);
}

void json_free(struct json *j)
{
	json_decref(unwrap(j));
}

static struct json *or_nomem(json_t *j, struct error *err)
{
	if (!j)
		error_nomem(err, "a JSON value");
	return wrap(j);
}

struct json *json_new_object(struct error *err)
{
	return or_nomem(json_object(), err);
}

struct json *json_new_array(struct error *err)
{
	return or_nomem(json_array(), err);
}

static bool is_utf8(const char *text)
{
	while (*text) {
		size_t len = text_character(text);

		if (len == 0)
			return false;
		text += len;
	}
	return true;
}

/* Text with each wrong byte replaced by U+FFFD; borrowed until scratch is released. */
static const char *to_utf8(const char *text, struct buf *scratch, struct error *err)
{
	if (is_utf8(text))
		return text;
	while (*text) {
		size_t len = text_character(text);

		if (buf_add(scratch, len ? text : "\xef\xbf\xbd", len ? len : 3, err) < 0)
			return NULL;
		text += len ? len : 1;
	}
	return buf_str(scratch);
}

static struct json *new_text(const char *text, struct error *err)
{
	CLEANUP_BUF struct buf scratch = BUF_INIT(SIZE_MAX);

	if (!text)
		return wrap(json_null());
	text = to_utf8(text, &scratch, err);
	return text ? or_nomem(json_string_nocheck(text), err) : NULL;
}

int json_set(struct json *obj, const char *key, struct json *value, struct error *err)
{
	CLEANUP_BUF struct buf scratch = BUF_INIT(SIZE_MAX);

	assert(json_is_object(obj));
	if (!value)
		return -1;
	key = to_utf8(key, &scratch, err);
	if (!key) {
		json_free(value);
		return -1;
	}
	if (json_object_set_new_nocheck(unwrap(obj), key, unwrap(value)) < 0)
		return error_nomem(err, "a JSON object");
	return 0;
}

int json_set_str(struct json *obj, const char *key, const char *text, struct error *err)
{
	return json_set(obj, key, new_text(text, err), err);
}

int json_set_int(struct json *obj, const char *key, int64_t value, struct error *err)
{
	return json_set(obj, key, or_nomem(json_integer(value), err), err);
}

int json_set_bool(struct json *obj, const char *key, bool value, struct error *err)
{
	return json_set(obj, key, wrap(json_boolean(value)), err);
}

int json_append(struct json *arr, struct json *value, struct error *err)
{
	assert(json_is_array(arr));
	if (!value)
		return -1;
	if (json_array_append_new(unwrap(arr), unwrap(value)) < 0)
		return error_nomem(err, "a JSON array");
	return 0;
}

int json_append_str(struct json *arr, const char *text, struct error *err)
{
	return json_append(arr, new_text(text, err), err);
}

struct json *json_get(const struct json *obj, const char *key)
{
	/* The library takes NULL and other types for objects without the key. */
	json_t *value = json_object_get(unwrap(obj), key);

	return json_is_null(value) ? NULL : wrap(value);
}

const char *json_get_str(const struct json *obj, const char *key, const char *fallback)
{
	return json_text(json_get(obj, key), fallback);
}

int64_t json_get_int(const struct json *obj, const char *key, int64_t fallback)
{
	return json_int(json_get(obj, key), fallback);
}

bool json_get_bool(const struct json *obj, const char *key, bool fallback)
{
	const json_t *value = unwrap(json_get(obj, key));

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

bool json_is_object(const struct json *j)
{
	return j && json_typeof(unwrap(j)) == JSON_OBJECT;
}

bool json_is_array(const struct json *j)
{
	return j && json_typeof(unwrap(j)) == JSON_ARRAY;
}

size_t json_length(const struct json *arr)
{
	return json_array_size(unwrap(arr));
}

struct json *json_at(const struct json *arr, size_t index)
{
	return wrap(json_array_get(unwrap(arr), index));
}

const char *json_text(const struct json *j, const char *fallback)
{
	const char *text = json_string_value(unwrap(j));

	return text ? text : fallback;
}

int64_t json_int(const struct json *j, int64_t fallback)
{
	const json_t *value = unwrap(j);
	double real;

	if (json_is_integer(value))
		return json_integer_value(value);
	if (!json_is_real(value))
		return fallback;
	/* ±2^63 are exact as doubles; a conversion from outside would be undefined. */
	real = json_real_value(value);
	return real >= -0x1p63 && real < 0x1p63 ? (int64_t)real : fallback;
}

const char *json_next_key(const struct json *obj, const char *key, struct json **value)
{
	json_t *o = unwrap(obj);
	void *iter;

	if (!json_is_object(obj))
		return NULL;
	iter = key ? json_object_iter_next(o, json_object_key_to_iter(key)) : json_object_iter(o);
	if (!iter)
		return NULL;
	*value = wrap(json_object_iter_value(iter));
	return json_object_iter_key(iter);
}

struct sink {
	struct buf *out;
	struct error *err;
	bool failed;
};

/* The control character at p, one or two bytes long, that JSON allows as it is; 0: there is none. */
static size_t bare_control(const unsigned char *p, size_t len)
{
	return *p == 0x7f ? 1 : len > 1 && *p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0 ? 2 : 0;
}

/* DEL and C1 are escaped as the others are: documents are looked at on terminals too. */
static int sink_add(const char *text, size_t len, void *arg)
{
	const unsigned char *p = (const unsigned char *)text;
	struct sink *s = arg;
	size_t from = 0, n;

	for (size_t i = 0; i < len && !s->failed; i++) {
		n = bare_control(p + i, len - i);
		if (!n)
			continue;
		s->failed = buf_add(s->out, text + from, i - from, s->err) < 0 ||
			    buf_addf(s->out, s->err, "\\u%04X", p[i + n - 1]) < 0;
		from = i + n;
		i = from - 1;
	}
	s->failed = s->failed || buf_add(s->out, text + from, len - from, s->err) < 0;
	return s->failed ? -1 : 0;
}

int json_write(const struct json *j, bool pretty, struct buf *out, struct error *err)
{
	struct sink sink = {.out = out, .err = err};
	size_t before = out->len;
	size_t flags = JSON_ENCODE_ANY | (pretty ? JSON_INDENT(2) : JSON_COMPACT);

	if (json_dump_callback(unwrap(j), sink_add, &sink, flags) < 0) {
		if (!sink.failed)
			error_nomem(err, "a JSON text");
		goto fail;
	}
	if (pretty && buf_add_char(out, '\n', err) < 0)
		goto fail;
	return 0;
fail:
	buf_truncate(out, before);
	return -1;
}
