/* SPDX-License-Identifier: Apache-2.0 */
/* What mmdebstrap says on its standard error: to the log, and kept for our error. */
#include "fs/tree_debian_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

/* Longer lines are cut; more errors than fit into one of ours are not kept. */
enum { LINE_MAX_BYTES = 4096, ERRORS_MAX = 800 };

void debian_messages_init(struct debian_messages *m)
{
	memset(m, 0, sizeof(*m));
	buf_init(&m->line, LINE_MAX_BYTES);
	buf_init(&m->errors, ERRORS_MAX);
}

void debian_messages_release(struct debian_messages *m)
{
	buf_release(&m->line);
	buf_release(&m->errors);
}

static void keep_last(struct debian_messages *m, const char *line)
{
	memmove(m->last[0], m->last[1], sizeof(m->last) - sizeof(m->last[0]));
	snprintf(m->last[ARRAY_SIZE(m->last) - 1], sizeof(m->last[0]), "%s", line);
}

static void take_line(struct debian_messages *m, const char *line)
{
	if (!*line)
		return;
	keep_last(m, line);
	if (strncmp(line, "W: ", 3) == 0)
		log_warn("mmdebstrap: %s", line + 3);
	else if (strncmp(line, "I: ", 3) == 0)
		log_info("mmdebstrap: %s", line + 3);
	else
		log_debug("mmdebstrap: %s", line);
	/* The first errors are the causes; what no longer fits is consequence. */
	if (strncmp(line, "E: ", 3) == 0 &&
		buf_addf(&m->errors, NULL, "%s%s", m->errors.len > 0 ? "; " : "", line) < 0)
		return;
}

void debian_messages_add(struct debian_messages *m, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n' || data[i] == '\r')
			debian_messages_end(m);
		else if (m->line.len < LINE_MAX_BYTES - 1 && buf_add_char(&m->line, data[i], NULL) < 0)
			return;
	}
}

void debian_messages_end(struct debian_messages *m)
{
	take_line(m, buf_str(&m->line));
	buf_clear(&m->line);
}

const char *debian_messages_text(struct debian_messages *m)
{
	if (m->errors.len > 0)
		return buf_str(&m->errors);
	for (size_t i = 0; i < ARRAY_SIZE(m->last); i++)
		if (m->last[i][0] && buf_addf(&m->errors, NULL, "%s%s",
			m->errors.len > 0 ? "; " : "", m->last[i]) < 0)
			break;
	return m->errors.len > 0 ? buf_str(&m->errors) : "it said nothing";
}
