/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the serial console. A line that is too long goes on as a new one. */
#include "builder/boot_console.h"

#include <stdlib.h>
#include <string.h>

#include "builder/boot_regex.h"

enum { ESCAPE_NONE, ESCAPE_BEGUN, ESCAPE_CSI, ESCAPE_STRING };

int boot_console_init(struct boot_console *c, const char *expect, struct error *err)
{
	char text[200];
	int r;

	memset(c, 0, sizeof(*c));
	if (!expect)
		return 0;
	if (boot_regex_size(expect) > BOOT_REGEX_MAX)
		return error_set(err, ERROR_USAGE, 0,
			"--expect: '%s' is too large: its repetitions written out have more than %d parts",
			expect, BOOT_REGEX_MAX);
	r = regcomp(&c->expect, expect, REG_EXTENDED | REG_NOSUB);
	if (r) {
		regerror(r, &c->expect, text, sizeof(text));
		return error_set(err, ERROR_USAGE, 0,
			"--expect: '%s' is no extended regular expression: %s", expect, text);
	}
	c->has_expect = true;
	return 0;
}

void boot_console_release(struct boot_console *c)
{
	if (c->has_expect)
		regfree(&c->expect);
	for (size_t i = 0; i < BOOT_CONSOLE_KEPT; i++)
		free(c->kept[i]);
	memset(c, 0, sizeof(*c));
}

static void look(struct boot_console *c)
{
	c->line[c->len] = '\0';
	if (c->has_expect && !c->seen && c->len && !regexec(&c->expect, c->line, 0, NULL, 0))
		c->seen = true;
}

static void end_line(struct boot_console *c)
{
	look(c);
	if (c->len) {
		/* Lines are for messages only: one that there is no memory for is left out. */
		free(c->kept[c->next]);
		c->kept[c->next] = strdup(c->line);
		c->next = (c->next + 1) % BOOT_CONSOLE_KEPT;
	}
	c->len = 0;
}

/* ECMA-48: ESC [ … final byte; ESC ] or P … BEL or ESC \; ESC and one more. True: left out. */
static bool in_escape(struct boot_console *c, unsigned char byte)
{
	switch (c->escape) {
	case ESCAPE_NONE:
		if (byte != 0x1b)
			return false;
		c->escape = ESCAPE_BEGUN;
		return true;
	case ESCAPE_BEGUN:
		if (byte == '[')
			c->escape = ESCAPE_CSI;
		else if (byte == ']' || byte == 'P')
			c->escape = ESCAPE_STRING;
		else if (byte < 0x20 || byte > 0x2f)
			c->escape = ESCAPE_NONE;
		return true;
	case ESCAPE_CSI:
		if (byte >= 0x40 && byte <= 0x7e)
			c->escape = ESCAPE_NONE;
		return true;
	default:
		if (byte == 0x1b)
			c->escape = ESCAPE_BEGUN;
		else if (byte == 0x07 || byte == '\n')
			c->escape = ESCAPE_NONE;
		return true;
	}
}

void boot_console_feed(struct boot_console *c, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)data[i];

		if (in_escape(c, byte) || byte == '\0' || byte == '\a')
			continue;
		if (byte == '\n' || byte == '\r' || c->len == BOOT_CONSOLE_LINE)
			end_line(c);
		if (byte != '\n' && byte != '\r')
			c->line[c->len++] = (char)byte;
	}
	look(c);
}

int boot_console_last(const struct boot_console *c, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < BOOT_CONSOLE_KEPT; i++) {
		const char *line = c->kept[(c->next + i) % BOOT_CONSOLE_KEPT];

		if (line && buf_addf(out, err, "  %s\n", line) < 0)
			return -1;
	}
	return c->len ? buf_addf(out, err, "  %.*s\n", (int)c->len, c->line) : 0;
}
