/* SPDX-License-Identifier: Apache-2.0 */
/* A writer of tar archives, for those that no archiver would write. */
#include "tests/lib/tarmaker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void octal(char *field, size_t len, uint64_t value)
{
	if (value >> (3 * (len - 1))) { /* GNU's base 256 */
		for (size_t i = len; i-- > 0; value >>= 8)
			field[i] = (char)value;
		field[0] = (char)0x80;
		return;
	}
	snprintf(field, len, "%0*llo", (int)len - 1, (unsigned long long)value);
}

void tarmaker_put(struct buf *b, const void *data, size_t len)
{
	static const char zeros[512];
	struct error err = ERROR_INIT;

	if (buf_add(b, data, len, &err) < 0 ||
		buf_add(b, zeros, (512 - len % 512) % 512, &err) < 0)
		abort();
}

void tarmaker_add(struct buf *b, struct tarmaker_entry e)
{
	char h[512] = "";
	unsigned sum = 0;
	size_t content = e.content ? strlen(e.content) : 0;

	memcpy(h, e.name, strnlen(e.name, 100));
	octal(h + 100, 8, e.mode ? e.mode : 0644);
	octal(h + 108, 8, e.uid);
	octal(h + 116, 8, e.uid);
	octal(h + 124, 12, e.size ? e.size : content);
	octal(h + 136, 12, e.mtime < 0 ? 0 : (uint64_t)e.mtime);
	if (e.mtime < 0) {
		for (int i = 0; i < 12; i++)
			h[136 + i] = i < 4 ? (char)0xff : (char)(e.mtime >> 8 * (11 - i));
	}
	h[156] = e.type ? e.type : '0';
	if (e.link)
		memcpy(h + 157, e.link, strnlen(e.link, 100));
	memcpy(h + 257, "ustar\00000", 8);
	octal(h + 329, 8, 5);
	octal(h + 337, 8, 7);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	tarmaker_put(b, h, 512);
	if (content)
		tarmaker_put(b, e.content, content);
}

void tarmaker_pax(struct buf *b, const char *key, const void *value, size_t len)
{
	char record[8000], head[20];
	size_t need = strlen(key) + len + 3, total = need + 1, at;

	while (total != need + (size_t)snprintf(head, sizeof(head), "%zu", total))
		total = need + (size_t)snprintf(head, sizeof(head), "%zu", total);
	at = (size_t)snprintf(record, sizeof(record), "%zu %s=", total, key);
	memcpy(record + at, value, len);
	record[at + len] = '\n';
	tarmaker_add(b, (struct tarmaker_entry){.name = "pax", .type = 'x', .size = total});
	tarmaker_put(b, record, total);
}

void tarmaker_end(struct buf *b)
{
	static const char zeros[1024];

	tarmaker_put(b, zeros, sizeof(zeros));
}
