/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: lines to stderr, for people. Secrets that were named with log_redact() are replaced by
 * "***" in everything that goes through it. Nothing is printed below the level that was set.
 * The log and the progress display share the terminal through one lock. Thread-safe.
 */
#ifndef AMIWRIGHT_BASE_LOG_H
#define AMIWRIGHT_BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* What is shown: up to INFO at first; -q makes it WARN, -v DEBUG. */
void log_set_level(enum log_level level);
/* Where it goes, for tests; -1 drops everything. Default 2. */
void log_set_fd(int fd);

/* A line each; the text has no newline at its end. Control characters in it are not let through. */
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/*
 * Copies a secret into the list of what is never shown; one of fewer than 4 bytes is ignored, for
 * it would mangle ordinary words. log_redact_text() applies the list to text in place (for error
 * texts on their way out). log_release() wipes and frees the list.
 */
int log_redact(const char *secret, struct error *err) MUST_CHECK;
void log_redact_text(char *text);
void log_release(void);

/*
 * For progress.c: a status line at the bottom of the terminal that log lines go above; "" or NULL
 * takes it away. Not shown at levels below INFO. A '\n' at its end leaves it where it is and ends
 * it.
 */
void log_status_line(const char *text);

#endif
