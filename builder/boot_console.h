/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes out of the serial console, as lines: looked through for an expression, the last ones
 * kept for messages. Escape sequences of terminals are left out of the lines, so that colours do
 * not hide a text.
 */
#ifndef AMIWRIGHT_BUILDER_BOOT_CONSOLE_H
#define AMIWRIGHT_BUILDER_BOOT_CONSOLE_H

#include "base/buf.h"

#include <regex.h>
#include <stdbool.h>

enum { BOOT_CONSOLE_LINE = 1024, BOOT_CONSOLE_KEPT = 12 };

struct boot_console {
	regex_t expect;
	bool has_expect, seen;
	int escape; /* state in an escape sequence; 0: none */
	char line[BOOT_CONSOLE_LINE + 1];
	size_t len;
	char *kept[BOOT_CONSOLE_KEPT]; /* ring of whole lines; owned */
	size_t next;
};

/* expect: POSIX extended, or NULL. ERROR_USAGE when it is none. Release in any case. */
int boot_console_init(struct boot_console *c, const char *expect, struct error *err) MUST_CHECK;
void boot_console_release(struct boot_console *c);
/* Takes bytes of the console; c->seen tells whether a line, whole or not yet, has matched. */
void boot_console_feed(struct boot_console *c, const char *data, size_t len);
/* Appends the last lines, each on a line of its own. */
int boot_console_last(const struct boot_console *c, struct buf *out, struct error *err) MUST_CHECK;

#endif
