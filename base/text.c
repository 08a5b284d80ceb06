/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <string.h>

bool text_ends_with_mem(const char *text, size_t len, const char *end)
{
	size_t end_len = strlen(end);

	return len >= end_len && !memcmp(text + len - end_len, end, end_len);
}

bool text_ends_with(const char *text, const char *end)
{
	return text_ends_with_mem(text, strlen(text), end);
}

void text_make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void text_hide_controls(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if ((*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
	}
}

/* The NUL at the text's end stops every sequence. */
size_t text_character(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

size_t text_plain_character(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len = text_character(text);

	if ((len == 1 && (p[0] < ' ' || p[0] == 0x7f)) || (len == 2 && p[0] == 0xc2 && p[1] < 0xa0) ||
		(len == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe))
		return 0;
	return len;
}
