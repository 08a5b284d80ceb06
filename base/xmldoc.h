/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML documents, read only: a thin face over libxml2, so that one place knows the library. Only
 * elements, their attributes and their text are seen; a document with a DTD is refused, nothing is
 * fetched or expanded.
 */
#ifndef AMIWRIGHT_BASE_XMLDOC_H
#define AMIWRIGHT_BASE_XMLDOC_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xmldoc;      /* a document */
struct xmldoc_node; /* an element; borrowed from its document */

/* ERROR_INPUT, as the end of a sentence: "is not well-formed XML", "has a document type …". */
struct xmldoc *xmldoc_parse(const char *text, size_t len, struct error *err) MUST_CHECK;
void xmldoc_free(struct xmldoc *x);
DEFINE_CLEANUP(xmldoc, struct xmldoc, xmldoc_free)

/* The root element, which every document has. */
const struct xmldoc_node *xmldoc_root(const struct xmldoc *x);
/* First child element of that name; NULL when there is none, or node is NULL. */
const struct xmldoc_node *xmldoc_child(const struct xmldoc_node *node, const char *name);
/* The next sibling element of the same name, or NULL. */
const struct xmldoc_node *xmldoc_next(const struct xmldoc_node *node);
/* Whether any child element has a child element of that name. */
bool xmldoc_has_grandchild(const struct xmldoc_node *node, const char *name);
/* Whether the element has that name; false when node is NULL. */
bool xmldoc_is(const struct xmldoc_node *node, const char *name);

/*
 * The element's own text into out, cut to size with its NUL; "" when node is NULL. Returns the whole
 * length in bytes: what is not less than size was cut.
 */
size_t xmldoc_text(const struct xmldoc_node *node, char *out, size_t size);
/* The same of an attribute. */
size_t xmldoc_attribute(const struct xmldoc_node *node, const char *name, char *out, size_t size);

/*
 * What the first child element of that name has as its text. _text: cut as above, "" when there is no such child; true
 * when there is one. _number and _bool: the fallback when there is none or, of a number, when it is none.
 */
bool xmldoc_child_text(const struct xmldoc_node *node, const char *name, char *out, size_t size);
uint64_t xmldoc_child_number(const struct xmldoc_node *node, const char *name, uint64_t fallback);
bool xmldoc_child_bool(const struct xmldoc_node *node, const char *name, bool fallback);

#endif
