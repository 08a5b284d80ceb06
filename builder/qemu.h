/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU as a process: which firmware and accelerator there is, starting, watching, ending. The
 * process dies with us, however we die.
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

/*
 * Whether KVM runs a guest of this architecture here, found by running one of a few instructions
 * (seen: /dev/kvm opens, and QEMU aborts when it sets up a processor). why gets what it is when
 * not. Files of the trial go to the folder.
 */
int qemu_try_kvm(enum qemu_architecture a, const char *folder, bool *works, char why[200],
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
/* The end of what it said as one line. Borrowed. */
const char *qemu_last_words(struct qemu *q);

#endif
