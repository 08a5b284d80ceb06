/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML answers of the EC2 Query API, read by base/xmldoc.h: only elements and their text are seen.
 */
#ifndef AMIWRIGHT_UPLOADER_EC2_XML_H
#define AMIWRIGHT_UPLOADER_EC2_XML_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ec2_xml;  /* a document */
struct ec2_node; /* an element; borrowed from its document */

/* ERROR_SERVICE for an answer that is not well-formed. text need not stay. */
struct ec2_xml *ec2_xml_parse(const char *text, size_t len, struct error *err) MUST_CHECK;
void ec2_xml_free(struct ec2_xml *x);
DEFINE_CLEANUP(ec2_xml, struct ec2_xml, ec2_xml_free)

/* The root element, which every document has. */
const struct ec2_node *ec2_xml_root(const struct ec2_xml *x);
/* First child element of that name; NULL when there is none, or node is NULL. */
const struct ec2_node *ec2_xml_child(const struct ec2_node *node, const char *name);
/* The next sibling element of the same name, or NULL. */
const struct ec2_node *ec2_xml_next(const struct ec2_node *node);
/* Whether a child element, whatever its name, has a child element of that name. */
bool ec2_xml_has_grandchild(const struct ec2_node *node, const char *name);
/* Whether the element has that name; false when node is NULL. */
bool ec2_xml_is(const struct ec2_node *node, const char *name);

/*
 * Text of the child of that name into out, cut to size with its NUL; "" when there is no such
 * child. True when there is one.
 */
bool ec2_xml_text(const struct ec2_node *node, const char *name, char *out, size_t size);
/* Fallback when the child is absent or not a number. */
uint64_t ec2_xml_number(const struct ec2_node *node, const char *name, uint64_t fallback);
bool ec2_xml_bool(const struct ec2_node *node, const char *name, bool fallback);

#endif
