/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a ceiling, for text and for bytes. The ceiling is what keeps a lying
 * server or a damaged file from eating the memory: growing past it is an error, not a crash.
 *
 * After any successful call `data` is NUL-terminated at data[len] (the NUL is not counted), so text
 * can be used as a C string. A failed call leaves the content as it was.
 */
#ifndef AMIWRIGHT_BASE_BUF_H
#define AMIWRIGHT_BASE_BUF_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;  /* NULL until something was added; owned */
	size_t len;  /* bytes in use */
	size_t size; /* bytes allocated */
	size_t max;  /* ceiling of len in bytes */
};

/* A buffer may be made by BUF_INIT(max) or buf_init(); max 0 means 64 MiB. */
#define BUF_INIT(ceiling)        \
	{                        \
		.max = (ceiling) \
	}
void buf_init(struct buf *b, size_t max);
/* Frees the memory; the buffer is empty and usable afterwards, its ceiling kept. */
void buf_release(struct buf *b);
/*
 * For secrets: the same, and what is freed is overwritten. What buf_steal() took or growing left behind
 * is out of reach.
 */
void buf_wipe(struct buf *b);
/* Empties it, keeps the memory. */
void buf_clear(struct buf *b);

/*
 * Append bytes, a string, a character, a formatted text. ERROR_INPUT past the ceiling, else ERROR_NOMEM.
 */
int buf_add(struct buf *b, const void *data, size_t len, struct error *err) MUST_CHECK;
int buf_add_str(struct buf *b, const char *text, struct error *err) MUST_CHECK;
int buf_add_char(struct buf *b, char c, struct error *err) MUST_CHECK;
int buf_addf(struct buf *b, struct error *err, const char *fmt, ...) PRINTF_LIKE(3, 4) MUST_CHECK;
/* Adds len bytes of room and returns where they begin (content undefined), NULL on error. */
void *buf_extend(struct buf *b, size_t len, struct error *err) MUST_CHECK;
/* Bytes that may be added before the ceiling is met. */
size_t buf_room(const struct buf *b);
/* Cuts it to len <= b->len bytes. */
void buf_truncate(struct buf *b, size_t len);
/* The text ("" when nothing was added); borrowed until the next call on b. */
const char *buf_str(const struct buf *b);
/*
 * Hands over the memory (never NULL on success: an empty buffer gives ""); b is empty afterwards.
 */
char *buf_steal(struct buf *b, struct error *err) MUST_CHECK;

/* A NUL-terminated string from a format, the caller's to free; NULL on error. */
char *buf_strf(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

static inline void buf_cleanup(struct buf *b)
{
	buf_release(b);
}
#define CLEANUP_BUF CLEANUP(buf_cleanup)
#define CLEANUP_SECRET_BUF CLEANUP(buf_wipe)

#endif
