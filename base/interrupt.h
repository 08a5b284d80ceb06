/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that a signal ended. What waits for somebody else (a named pipe that nobody writes
 * to, a terminal) comes back with EINTR when the user wants us to stop, and also when a signal means
 * nothing to us. Only the program as a whole knows which it was, so the question is the process's:
 * there is no caller between a signal and a read() that could pass it on.
 */
#ifndef AMIWRIGHT_BASE_INTERRUPT_H
#define AMIWRIGHT_BASE_INTERRUPT_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Who can tell whether the user wants us to stop; NULL: nobody does. Set once, before any thread. */
void interrupt_ask(bool (*cancelled)(void));
/* After EINTR: 0 when the call is to be made again, else ERROR_INTERRUPTED. */
int interrupt_check(struct error *err) MUST_CHECK;

/* open(), made again after signals that do not stop us. ERROR_IO, ERROR_INTERRUPTED. */
int interrupt_open(const char *path, int flags, mode_t mode, struct error *err) MUST_CHECK;
/* read(), likewise. path for messages. */
ssize_t interrupt_read(int fd, void *buf, size_t len, const char *path, struct error *err) MUST_CHECK;

#endif
