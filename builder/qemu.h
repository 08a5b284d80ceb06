/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU as a process: which firmware there is, starting, watching, ending. The process dies with us,
 * however we die.
 */
#ifndef AMIWRIGHT_BUILDER_QEMU_H
#define AMIWRIGHT_BUILDER_QEMU_H

#include "base/buf.h"
#include "builder/qemu_args.h"

#include <sys/types.h>

struct qemu {
	pid_t pid;       /* -1: none, or ended and waited for */
	int console;     /* our end of its standard input and output, non-blocking; -1: closed */
	int messages;    /* reading end of its standard error, non-blocking; -1: closed */
	int status;      /* as of waitpid(), when ended */
	struct buf said; /* the end of what it wrote to standard error */
};

#define QEMU_INIT                                       \
	{                                               \
		.pid = -1, .console = -1, .messages = -1 \
	}

/*
 * Firmware for UEFI and a template of its variables; borrowed for ever. ERROR_USAGE names the
 * package that is missing.
 */
int qemu_find_uefi(enum qemu_architecture a, const char **code, const char **vars,
	struct error *err) MUST_CHECK;

/* ERROR_USAGE naming the package when QEMU is not installed. */
int qemu_start(struct qemu *q, enum qemu_architecture a, const struct qemu_argv *argv,
	struct error *err) MUST_CHECK;
/* Takes what it wrote to standard error, into the debug log too. */
void qemu_listen(struct qemu *q);
/* True when it has ended (then status is set). Never blocks. */
bool qemu_ended(struct qemu *q);
/* Ends it: SIGTERM, and SIGKILL a few seconds later. Fine when it has ended. */
void qemu_stop(struct qemu *q);
/* Stops it and releases the rest. */
void qemu_release(struct qemu *q);
/*
 * Whether KVM has met what it cannot run: QEMU says so, and waits for ever. Of what qemu_listen() has
 * taken.
 */
bool qemu_stands_still(struct qemu *q);
/* The end of what it said as one line. Borrowed. */
const char *qemu_last_words(struct qemu *q);

#endif
