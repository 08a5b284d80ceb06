/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading with libxml2. Entities are not expanded and a document type is refused, so a document stays
 * as large as it came.
 */
#include "base/xmldoc.h"

#include <stdint.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "base/num.h"

/* These two names are ours; the objects behind them are libxml2's. */
static xmlDoc *doc_of(const struct xmldoc *x)
{
	return (xmlDoc *)(uintptr_t)x;
}

static const xmlNode *node_of(const struct xmldoc_node *n)
{
	return (const xmlNode *)(const void *)n;
}

static const struct xmldoc_node *wrap(const xmlNode *n)
{
	return (const struct xmldoc_node *)(const void *)n;
}

static bool has_name(const xmlNode *n, const char *name)
{
	return n->type == XML_ELEMENT_NODE && strcmp((const char *)n->name, name) == 0;
}

struct xmldoc *xmldoc_parse(const char *text, size_t len, struct error *err)
{
	xmlDoc *doc;

	if (len > INT32_MAX)
		return error_null(err, ERROR_INPUT, 0, "is too large");
	doc = xmlReadMemory(text, (int)len, "document.xml", NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS);
	if (!doc)
		return error_null(err, ERROR_INPUT, 0, "is not well-formed XML");
	if (doc->intSubset || !xmlDocGetRootElement(doc)) {
		xmlFreeDoc(doc);
		return error_null(err, ERROR_INPUT, 0, "has a document type or no content");
	}
	return (struct xmldoc *)(void *)doc;
}

void xmldoc_free(struct xmldoc *x)
{
	if (x)
		xmlFreeDoc(doc_of(x));
}

const struct xmldoc_node *xmldoc_root(const struct xmldoc *x)
{
	return wrap(xmlDocGetRootElement(doc_of(x)));
}

static const struct xmldoc_node *first_of(const xmlNode *n, const char *name)
{
	for (; n; n = n->next) {
		if (has_name(n, name))
			return wrap(n);
	}
	return NULL;
}

const struct xmldoc_node *xmldoc_child(const struct xmldoc_node *node, const char *name)
{
	return node ? first_of(node_of(node)->children, name) : NULL;
}

const struct xmldoc_node *xmldoc_next(const struct xmldoc_node *node)
{
	return first_of(node_of(node)->next, (const char *)node_of(node)->name);
}

bool xmldoc_has_grandchild(const struct xmldoc_node *node, const char *name)
{
	for (const xmlNode *n = node_of(node)->children; n; n = n->next) {
		if (n->type == XML_ELEMENT_NODE && first_of(n->children, name))
			return true;
	}
	return false;
}

bool xmldoc_is(const struct xmldoc_node *node, const char *name)
{
	return node && has_name(node_of(node), name);
}

static size_t text_of(const xmlNode *n, char *out, size_t size)
{
	size_t len = 0, used = 0;

	for (; n; n = n->next) {
		size_t more, fits;

		if (n->type != XML_TEXT_NODE && n->type != XML_CDATA_SECTION_NODE)
			continue;
		more = strlen((const char *)n->content);
		fits = MIN(more, size - 1 - used);
		memcpy(out + used, n->content, fits);
		used += fits;
		len += more;
	}
	out[used] = '\0';
	return len;
}

size_t xmldoc_text(const struct xmldoc_node *node, char *out, size_t size)
{
	return text_of(node ? node_of(node)->children : NULL, out, size);
}

size_t xmldoc_attribute(const struct xmldoc_node *node, const char *name, char *out, size_t size)
{
	const xmlAttr *a = node ? node_of(node)->properties : NULL;

	while (a && strcmp((const char *)a->name, name))
		a = a->next;
	return text_of(a ? a->children : NULL, out, size);
}

bool xmldoc_child_text(const struct xmldoc_node *node, const char *name, char *out, size_t size)
{
	const struct xmldoc_node *child = xmldoc_child(node, name);

	xmldoc_text(child, out, size);
	return child != NULL;
}

uint64_t xmldoc_child_number(const struct xmldoc_node *node, const char *name, uint64_t fallback)
{
	char text[32];
	uint64_t value;

	xmldoc_child_text(node, name, text, sizeof(text));
	return num_parse(text, UINT64_MAX, &value, NULL) == 0 ? value : fallback;
}

bool xmldoc_child_bool(const struct xmldoc_node *node, const char *name, bool fallback)
{
	char text[8];

	if (!xmldoc_child_text(node, name, text, sizeof(text)))
		return fallback;
	return strcmp(text, "true") == 0;
}
