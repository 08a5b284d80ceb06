/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing byte buffers. One function makes room (reserve); everything else writes behind it. What
 * it keeps true: len < size and data[len] == 0 whenever data is set, and len never passes the
 * ceiling.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_MAX = 64 << 20, FIRST_SIZE = 64 };

static size_t ceiling(const struct buf *b)
{
	return b->max ? b->max : DEFAULT_MAX;
}

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf)BUF_INIT(max);
}

void buf_release(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->size);
	buf_release(b);
}

void buf_clear(struct buf *b)
{
	buf_truncate(b, 0);
}

void buf_truncate(struct buf *b, size_t len)
{
	assert(len <= b->len);
	b->len = len;
	if (b->data)
		b->data[len] = '\0';
}

size_t buf_room(const struct buf *b)
{
	return b->len < ceiling(b) ? ceiling(b) - b->len : 0;
}

/* Room for more bytes and a NUL. Doubles, so that n bytes added one by one cost O(n). */
static int reserve(struct buf *b, size_t more, struct error *err)
{
	size_t need, size;
	char *data;

	if (more > buf_room(b) || b->len + more == SIZE_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"more than %zu bytes where no more are allowed", ceiling(b));
	need = b->len + more + 1;
	if (need <= b->size)
		return 0;
	size = b->size > SIZE_MAX / 2 ? SIZE_MAX : 2 * b->size;
	if (size > ceiling(b) && ceiling(b) < SIZE_MAX)
		size = ceiling(b) + 1;
	if (size < need)
		size = need;
	if (size < FIRST_SIZE)
		size = FIRST_SIZE;
	data = realloc(b->data, size);
	if (!data)
		return error_nomem(err, "a buffer");
	b->data = data;
	b->size = size;
	return 0;
}

void *buf_extend(struct buf *b, size_t len, struct error *err)
{
	char *start;

	if (reserve(b, len, err) < 0)
		return NULL;
	start = b->data + b->len;
	b->len += len;
	b->data[b->len] = '\0';
	return start;
}

int buf_add(struct buf *b, const void *data, size_t len, struct error *err)
{
	void *room = buf_extend(b, len, err);

	if (!room)
		return -1;
	if (len > 0)
		memcpy(room, data, len);
	return 0;
}

int buf_add_str(struct buf *b, const char *text, struct error *err)
{
	return buf_add(b, text, strlen(text), err);
}

int buf_add_char(struct buf *b, char c, struct error *err)
{
	return buf_add(b, &c, 1, err);
}

/* Most texts fit in the room that is there, so they are formatted once. */
static int add_vf(struct buf *b, struct error *err, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
static int add_vf(struct buf *b, struct error *err, const char *fmt, va_list ap)
{
	va_list again;
	int len;

	if (reserve(b, 0, err) < 0)
		return -1;
	va_copy(again, ap);
	len = vsnprintf(b->data + b->len, b->size - b->len, fmt, ap);
	if (len >= 0 && ((size_t)len >= b->size - b->len || (size_t)len > buf_room(b))) {
		if (reserve(b, (size_t)len, err) < 0)
			goto fail;
		len = vsnprintf(b->data + b->len, b->size - b->len, fmt, again);
	}
	if (len < 0) {
		error_set(err, ERROR_BUG, 0, "cannot format a text '%s'", fmt);
		goto fail;
	}
	va_end(again);
	b->len += (size_t)len;
	return 0;
fail:
	va_end(again);
	b->data[b->len] = '\0';
	return -1;
}

int buf_addf(struct buf *b, struct error *err, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = add_vf(b, err, fmt, ap);
	va_end(ap);
	return ret;
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_steal(struct buf *b, struct error *err)
{
	char *data;

	if (!b->data && reserve(b, 0, err) < 0)
		return NULL;
	data = b->data;
	data[b->len] = '\0';
	buf_init(b, b->max);
	return data;
}

char *buf_strf(struct error *err, const char *fmt, ...)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = add_vf(&b, err, fmt, ap);
	va_end(ap);
	return ret < 0 ? NULL : buf_steal(&b, err);
}
