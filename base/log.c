/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log. One lock guards everything that is written to the terminal: log lines, the status line
 * below them, and the list of secrets. A line is made whole, cleaned of secrets and of control
 * characters (names from a tar or a server must not steer the terminal), and written by one
 * write().
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

enum { LINE_SIZE = 2048, STATUS_SIZE = 512, SECRET_MIN = 4 };

struct secret {
	char *text;
	size_t len;
};

static atomic_int shown_level = LOG_LEVEL_INFO;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Below: under the lock. */
static int out_fd = STDERR_FILENO;
static struct secret
	*secrets; /* longest first, so that a secret within another does not split it */
static size_t nr_secrets;
static char status[STATUS_SIZE]; /* what stands below the last line; empty: nothing */

static void lock_cleanup(pthread_mutex_t **m)
{
	pthread_mutex_unlock(*m);
}

#define WITH_LOCK()                                          \
	CLEANUP(lock_cleanup) pthread_mutex_t *held = &lock; \
	pthread_mutex_lock(held)

void log_set_level(enum log_level level)
{
	atomic_store(&shown_level, (int)level);
}

/* There is nobody to tell that the log cannot be written. */
static void put(const char *text, size_t len)
{
	int saved = errno;

	while (out_fd >= 0 && len > 0) {
		ssize_t n = write(out_fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		text += n;
		len -= (size_t)n;
	}
	errno = saved;
}

static void erase_status(void)
{
	static const char erase[] = "\r\033[K";

	if (status[0])
		put(erase, sizeof(erase) - 1);
}

void log_set_fd(int fd)
{
	WITH_LOCK();
	erase_status();
	status[0] = '\0';
	out_fd = fd;
}

/* The secret that text begins with, NULL when it begins with none. */
static const struct secret *secret_at(const char *text)
{
	for (size_t i = 0; i < nr_secrets; i++) {
		if (strncmp(text, secrets[i].text, secrets[i].len) == 0)
			return &secrets[i];
	}
	return NULL;
}

/* In place: "***" is shorter than every secret. */
static void redact(char *text)
{
	const char *in = text;
	char *out = text;

	if (nr_secrets == 0)
		return;
	while (*in) {
		const struct secret *s = secret_at(in);

		if (s) {
			memcpy(out, "***", 3);
			out += 3;
			in += s->len;
		} else {
			*out++ = *in++;
		}
	}
	*out = '\0';
}

/* text: the message with its prefix and room for one byte more behind its NUL. */
static void put_line(char *text)
{
	size_t len;

	WITH_LOCK();
	redact(text);
	text_hide_controls(text);
	len = strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len++] = '\n';
	erase_status();
	put(text, len);
	put(status, strlen(status));
}

static void vlog(enum log_level level, const char *prefix, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
static void vlog(enum log_level level, const char *prefix, const char *fmt, va_list ap)
{
	char line[LINE_SIZE], *text = line;
	CLEANUP_FREE char *heap = NULL;
	size_t prefix_len = strlen(prefix);
	int len, saved = errno;
	va_list again;

	if ((int)level > atomic_load(&shown_level))
		return;
	va_copy(again, ap);
	memcpy(line, prefix, prefix_len);
	len = vsnprintf(line + prefix_len, sizeof(line) - prefix_len, fmt, ap);
	if (len >= 0 && (size_t)len + prefix_len + 2 > sizeof(line)) {
		/* Not cut before it is cleaned: half a secret would not be found. */
		heap = malloc((size_t)len + prefix_len + 2);
		if (heap) {
			memcpy(heap, prefix, prefix_len);
			vsnprintf(heap + prefix_len, (size_t)len + 1, fmt, again);
		}
		text = heap;
	}
	va_end(again);
	if (len >= 0 && text)
		put_line(text);
	errno = saved;
}

#define DEFINE_LOG(name, level, prefix)       \
	void name(const char *fmt, ...)       \
	{                                     \
		va_list ap;                   \
                                              \
		va_start(ap, fmt);            \
		vlog(level, prefix, fmt, ap); \
		va_end(ap);                   \
	}

DEFINE_LOG(log_error, LOG_LEVEL_ERROR, "error: ")
DEFINE_LOG(log_warn, LOG_LEVEL_WARN, "warning: ")
DEFINE_LOG(log_info, LOG_LEVEL_INFO, "")
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG, "debug: ")

static bool is_known(const char *text)
{
	for (size_t i = 0; i < nr_secrets; i++) {
		if (strcmp(secrets[i].text, text) == 0)
			return true;
	}
	return false;
}

int log_redact(const char *secret, struct error *err)
{
	size_t len = strlen(secret), i;
	struct secret *grown;
	char *copy;

	WITH_LOCK();
	if (len < SECRET_MIN || is_known(secret))
		return 0;
	grown = reallocarray(secrets, nr_secrets + 1, sizeof(*secrets));
	if (!grown)
		return error_nomem(err, "the list of secrets");
	secrets = grown;
	copy = strdup(secret);
	if (!copy)
		return error_nomem(err, "the list of secrets");
	for (i = nr_secrets; i > 0 && secrets[i - 1].len < len; i--)
		secrets[i] = secrets[i - 1];
	secrets[i] = (struct secret){.text = copy, .len = len};
	nr_secrets++;
	return 0;
}

void log_redact_text(char *text)
{
	WITH_LOCK();
	redact(text);
}

void log_release(void)
{
	WITH_LOCK();
	for (size_t i = 0; i < nr_secrets; i++) {
		explicit_bzero(secrets[i].text, secrets[i].len);
		free(secrets[i].text);
	}
	free(secrets);
	secrets = NULL;
	nr_secrets = 0;
}

void log_status_line(const char *text)
{
	size_t len;

	if (atomic_load(&shown_level) < LOG_LEVEL_INFO)
		return;
	WITH_LOCK();
	erase_status();
	len = strlen(text ? text : "");
	if (len >= sizeof(status))
		len = sizeof(status) - 1;
	if (len > 0)
		memcpy(status, text, len);
	status[len] = '\0';
	redact(status);
	len = strlen(status);
	put(status, len);
	if (len > 0 && status[len - 1] == '\n')
		status[0] = '\0';
}
