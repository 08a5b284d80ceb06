/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML output. Text is escaped; control characters, which XML 1.0 cannot hold even as references,
 * become U+FFFD.
 */
#include "uploader/region/xml.h"

#include <string.h>

static void xml_add(struct xml *x, const char *text, size_t len)
{
	if (!x->failed && buf_add(x->out, text, len, NULL) < 0)
		x->failed = true;
}

static void xml_puts(struct xml *x, const char *text)
{
	xml_add(x, text, strlen(text));
}

void xml_init(struct xml *x, struct buf *out)
{
	*x = (struct xml){.out = out};
	xml_puts(x, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

void xml_open(struct xml *x, const char *tag)
{
	xml_puts(x, "<");
	xml_puts(x, tag);
	xml_puts(x, ">");
}

void xml_open_root(struct xml *x, const char *tag, const char *suffix, const char *ns)
{
	xml_puts(x, "<");
	xml_puts(x, tag);
	xml_puts(x, suffix);
	xml_puts(x, " xmlns=\"");
	xml_puts(x, ns);
	xml_puts(x, "\">");
}

void xml_close(struct xml *x, const char *tag)
{
	xml_puts(x, "</");
	xml_puts(x, tag);
	xml_puts(x, ">");
}

static const char *xml_entity(unsigned char c)
{
	switch (c) {
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '&':
		return "&amp;";
	case '"':
		return "&quot;";
	case '\r':
		return "&#13;";
	case '\t':
	case '\n':
		return NULL;
	default:
		return c < ' ' || c == 0x7f ? "\xef\xbf\xbd" : NULL;
	}
}

void xml_text(struct xml *x, const char *text)
{
	const char *from = text;

	for (; *text; text++) {
		const char *entity = xml_entity((unsigned char)*text);

		if (!entity)
			continue;
		xml_add(x, from, (size_t)(text - from));
		xml_puts(x, entity);
		from = text + 1;
	}
	xml_add(x, from, (size_t)(text - from));
}

void xml_str(struct xml *x, const char *tag, const char *text)
{
	if (!text)
		return;
	xml_open(x, tag);
	xml_text(x, text);
	xml_close(x, tag);
}

void xml_int(struct xml *x, const char *tag, int64_t value)
{
	xml_open(x, tag);
	if (!x->failed && buf_addf(x->out, NULL, "%lld", (long long)value) < 0)
		x->failed = true;
	xml_close(x, tag);
}

void xml_bool(struct xml *x, const char *tag, bool value)
{
	xml_str(x, tag, value ? "true" : "false");
}

void xml_empty(struct xml *x, const char *tag)
{
	xml_puts(x, "<");
	xml_puts(x, tag);
	xml_puts(x, "/>");
}
