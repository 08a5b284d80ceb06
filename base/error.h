/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object. Every fallible function takes `struct error *err` last and returns 0 or -1 (or
 * a pointer or NULL); the object lives on the caller's stack, owns no memory and needs no release.
 *
 * The layer that finds the fault sets it; a layer above wraps only when it adds a fact; only
 * builder/main.c prints. Text is lower case without a full stop, objects are quoted: "cannot open
 * 'rootfs.tar': No such file or directory".
 */
#ifndef AMIWRIGHT_BASE_ERROR_H
#define AMIWRIGHT_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

/* Function attributes, spelt once for the whole project. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum error_kind {
	ERROR_NONE = 0,
	ERROR_NOMEM,       /* out of memory */
	ERROR_IO,          /* the operating system said no; errnum says why */
	ERROR_INPUT,       /* an input's content is damaged, unsupported or out of bounds */
	ERROR_USAGE,       /* the command line or the spec is wrong: exit status 2 */
	ERROR_POLICY,      /* refused by a rule, nothing was changed: exit status 3 */
	ERROR_SERVICE,     /* AWS answered with an error: exit status 4 */
	ERROR_NETWORK,     /* no whole answer came: connect, TLS, timeout, reset */
	ERROR_INTERRUPTED, /* the user or a signal stopped it: exit status 130 */
	ERROR_BUG,         /* an invariant of our own broke in a place that can report */
};

enum { ERROR_TEXT_SIZE = 1024, ERROR_CODE_SIZE = 64 };

struct error {
	enum error_kind kind;
	int errnum;                 /* errno value, 0 when none applies */
	int http_status;            /* status of the HTTP answer, 0 when none came */
	char code[ERROR_CODE_SIZE]; /* AWS error code ("RequestThrottledException"), else empty */
	char text[ERROR_TEXT_SIZE]; /* NUL-terminated; cut with "..." when too long */
};

#define ERROR_INIT                 \
	{                          \
		.kind = ERROR_NONE \
	}

/*
 * Sets *err (any earlier content is lost) and returns -1. With errnum != 0 the text gets ": " and
 * strerror(errnum) at its end. err may be NULL: then only -1 is returned. Preserves errno.
 */
int error_set(struct error *err, enum error_kind kind, int errnum, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
int error_vset(struct error *err, enum error_kind kind, int errnum, const char *fmt, va_list ap)
	PRINTF_LIKE(4, 0);

/* As error_set(), for functions that return a pointer: returns NULL. */
void *error_null(struct error *err, enum error_kind kind, int errnum, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* Sets ERROR_NOMEM, naming what was being allocated; returns -1. */
int error_nomem(struct error *err, const char *what);

/* Puts "fmt…: " before the text that is there, keeps everything else, returns -1. */
int error_wrap(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Makes it ERROR_NONE with empty text. */
void error_clear(struct error *err);

#endif
