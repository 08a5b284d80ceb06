/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running machine: one poll loop that carries the console, answers the metadata service, looks
 * for an expression and for the end.
 */
#ifndef AMIWRIGHT_BUILDER_BOOT_RUN_H
#define AMIWRIGHT_BUILDER_BOOT_RUN_H

#include "builder/boot_console.h"
#include "builder/imds_server.h"
#include "builder/qemu.h"

struct boot_run {
	struct qemu *qemu;
	struct imds_server *imds;
	struct boot_console *console;
	int out;                  /* where the console is written to */
	const char *out_name;     /* for messages */
	int in;                   /* a terminal whose keys go to the console; -1: none */
	const char *expect;       /* for messages; NULL: until the guest powers off */
	uint64_t timeout_s;       /* 0: none */
	bool (*cancelled)(void);
	uint64_t (*now_ms)(void);
};

/*
 * Until the expression is seen, the guest powers off, or the user leaves by ctrl-A X: 0. ERROR_INPUT
 * when the expression was not seen in time or at all, with the console's last lines in the log.
 * QEMU runs on afterwards; qemu_stop() is the caller's.
 */
int boot_run(struct boot_run *r, struct error *err) MUST_CHECK;

#endif
