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

#endif
