/* SPDX-License-Identifier: Apache-2.0 */
/* Small questions about text. */
#ifndef AMIWRIGHT_BASE_TEXT_H
#define AMIWRIGHT_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether text ends in `end`, byte for byte. */
bool text_ends_with(const char *text, const char *end);
/* The same of len bytes without a NUL. */
bool text_ends_with_mem(const char *text, size_t len, const char *end);
/* Text out of a file goes to a terminal: what ASCII does not print becomes '?'. */
void text_make_printable(char *text);
/* The same of messages, which are UTF-8 in lines: only what terminals obey (C0 but tab and newline, DEL, C1). */
void text_hide_controls(char *text);
/*
 * Bytes of the UTF-8 character at text, which ends in NUL; 0 when the bytes there are none (RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF).
 */
size_t text_character(const char *text);
/* The same, but 0 also for what XML 1.0 forbids (U+FFFE, U+FFFF) and for control characters: C0, DEL and C1. */
size_t text_plain_character(const char *text);

#endif
