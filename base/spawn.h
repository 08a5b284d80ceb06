/* SPDX-License-Identifier: Apache-2.0 */
/* The start of another program; what becomes of it is the caller's. */
#ifndef AMIWRIGHT_BASE_SPAWN_H
#define AMIWRIGHT_BASE_SPAWN_H

#include <sys/types.h>

/* All borrowed. Descriptors become its standard input, output and error, whatever they are here. */
struct spawn_opts {
	const char *file;               /* without '/' looked for by PATH */
	const char *const *argv;        /* NULL-terminated */
	const char *const *environment; /* all of it, NULL-terminated */
	const char *dir;                /* working folder; NULL: ours */
	int in;                         /* 0 or less: /dev/null */
	int out, messages;
};

/*
 * Signals are as a program expects them, whatever ours are. It leads a process group of its own, so
 * that a signal reaches its children too: some ignore signals while these run. Gives 0 and its pid, or
 * a number of errno.
 */
int spawn_program(const struct spawn_opts *opts, pid_t *pid);

#endif
