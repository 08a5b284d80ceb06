/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object's text. What is promised: the text always ends in a NUL, what does not fit is
 * cut with "..." at a character's boundary, and the operating system's reason at the end survives
 * the cut, for it is the part that tells the user what to do.
 */
#include "base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { REASON_SIZE = 96 };

/* ": Permission denied"; the untranslated text, so that messages do not depend on the locale. */
static void reason_of(int errnum, char reason[REASON_SIZE])
{
	const char *text = strerrordesc_np(errnum);

	reason[0] = '\0';
	if (errnum != 0 && text)
		snprintf(reason, REASON_SIZE, ": %s", text);
	else if (errnum != 0)
		snprintf(reason, REASON_SIZE, ": error %d", errnum);
}

/*
 * Makes text from body and tail; body_len is what the body would have been without a limit. tail
 * is shorter than the text.
 */
static void compose(char text[ERROR_TEXT_SIZE], const char *body, size_t body_len, const char *tail)
{
	static const char dots[] = "...";
	size_t tail_len = strlen(tail);
	size_t room = ERROR_TEXT_SIZE - 1 - tail_len;

	if (body_len > room) {
		body_len = room - (sizeof(dots) - 1);
		while (body_len > 0 && ((unsigned char)body[body_len] & 0xc0) == 0x80)
			body_len--;
		memcpy(text, body, body_len);
		memcpy(text + body_len, dots, sizeof(dots) - 1);
		body_len += sizeof(dots) - 1;
	} else {
		memcpy(text, body, body_len);
	}
	memcpy(text + body_len, tail, tail_len + 1);
}

void error_clear(struct error *err)
{
	if (!err)
		return;
	err->kind = ERROR_NONE;
	err->errnum = 0;
	err->http_status = 0;
	err->code[0] = '\0';
	err->text[0] = '\0';
}

int error_vset(struct error *err, enum error_kind kind, int errnum, const char *fmt, va_list ap)
{
	int saved = errno;
	char body[ERROR_TEXT_SIZE], reason[REASON_SIZE];
	int len;

	if (!err)
		return -1;
	/* Formatted aside: the arguments may point into *err. */
	len = vsnprintf(body, sizeof(body), fmt, ap);
	if (len < 0)
		len = snprintf(body, sizeof(body), "%s", "(a message that cannot be formatted)");
	reason_of(errnum, reason);
	error_clear(err);
	err->kind = kind;
	err->errnum = errnum;
	compose(err->text, body, (size_t)len, reason);
	errno = saved;
	return -1;
}

int error_set(struct error *err, enum error_kind kind, int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, kind, errnum, fmt, ap);
	va_end(ap);
	return -1;
}

void *error_null(struct error *err, enum error_kind kind, int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_vset(err, kind, errnum, fmt, ap);
	va_end(ap);
	return NULL;
}

int error_nomem(struct error *err, const char *what)
{
	return error_set(err, ERROR_NOMEM, 0, "out of memory for %s", what);
}

/* True, and the reason cut off, when text ends with it. */
static bool strip_tail(char *text, const char *tail)
{
	size_t len = strlen(text), tail_len = strlen(tail);

	if (tail_len == 0 || len < tail_len || strcmp(text + len - tail_len, tail) != 0)
		return false;
	text[len - tail_len] = '\0';
	return true;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
	int saved = errno;
	char body[2 * ERROR_TEXT_SIZE], reason[REASON_SIZE];
	va_list ap;
	int len;

	if (!err)
		return -1;
	va_start(ap, fmt);
	len = vsnprintf(body, ERROR_TEXT_SIZE, fmt, ap);
	va_end(ap);
	if (len < 0)
		len = 0;
	if (len >= ERROR_TEXT_SIZE)
		len = ERROR_TEXT_SIZE - 1;
	reason_of(err->errnum, reason);
	if (!strip_tail(err->text, reason))
		reason[0] = '\0';
	len += snprintf(body + len, sizeof(body) - (size_t)len, ": %s", err->text);
	compose(err->text, body, (size_t)len, reason);
	errno = saved;
	return -1;
}
