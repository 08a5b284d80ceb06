/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other programs (mkfs.fat, skopeo, sbsign …), run without a shell and in an environment that is
 * made anew, so that language and time zone of the user cannot change what they write (the umask is
 * the user's). They lead a process group of their own and get SIGTERM when we are cancelled, and
 * SIGKILL five seconds later.
 */
#ifndef AMIWRIGHT_BASE_PROGRAM_H
#define AMIWRIGHT_BASE_PROGRAM_H

#include "base/buf.h"

#include <stdbool.h>

struct program_opts {
	const char *const *argv;     /* NULL-terminated; argv[0] is looked for by program_find() */
	const char *const *environment; /* NAME=VALUE put into the new environment, in the place of any
	                                   other of that name; may be NULL */
	bool inherit;                /* the user's environment as it is, for programs of the user's own;
	                                then environment is not looked at */
	const char *package;         /* Debian package of argv[0], for messages; NULL: argv[0] */
	const char *dir;             /* working folder; NULL: ours */
	int in;                      /* borrowed descriptor for standard input; 0 or less: /dev/null */
	int out;                     /* borrowed descriptor for standard output; 0 or less: output */
	struct buf *output;          /* standard output is appended; NULL: dropped */
	void (*clean)(char *text);   /* hides secrets in what it says (in place), before a few of its last
	                                lines are told; NULL: they are told as they are */
	bool (*cancelled)(void);     /* asked a few times a second; NULL: never */
};

/*
 * Runs to the end. ERROR_USAGE when the program is not installed, naming the package, or when there
 * is none at that path, or it is not executable; ERROR_INPUT with its exit status and the last of
 * what it wrote to standard error when it fails; ERROR_INTERRUPTED when cancelled. Standard error
 * of a program that succeeds goes to the debug log.
 */
int program_run(const struct program_opts *opts, struct error *err) MUST_CHECK;

/*
 * The path of a program by PATH and then the sbin folders, which ordinary users' PATH often lacks;
 * NULL without error when it is not there. The caller's to free. A name with '/' is taken as it is.
 */
char *program_find(const char *name, struct error *err) MUST_CHECK;

/* ERROR_USAGE naming program and package, or path and reason, when it cannot be run. */
int program_need(const char *name, const char *package, struct error *err) MUST_CHECK;

#endif
