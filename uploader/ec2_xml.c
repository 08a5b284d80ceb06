/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading of EC2's answers with libxml2. Unknown elements are never looked at, so new ones do no
 * harm; entities are not expanded and a document type is refused, so an answer stays as large as it
 * came.
 */
#include "uploader/ec2_xml.h"

#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "base/num.h"

/* These two names are ours; the objects behind them are libxml2's. */
static xmlDoc *doc_of(const struct ec2_xml *x)
{
	return (xmlDoc *)(uintptr_t)x;
}

static const xmlNode *node_of(const struct ec2_node *n)
{
	return (const xmlNode *)(const void *)n;
}

static const struct ec2_node *wrap(const xmlNode *n)
{
	return (const struct ec2_node *)(const void *)n;
}

static bool has_name(const xmlNode *n, const char *name)
{
	return n->type == XML_ELEMENT_NODE && strcmp((const char *)n->name, name) == 0;
}

struct ec2_xml *ec2_xml_parse(const char *text, size_t len, struct error *err)
{
	xmlDoc *doc;

	if (len > INT32_MAX)
		return error_null(err, ERROR_SERVICE, 0, "the answer is too large");
	doc = xmlReadMemory(text, (int)len, "answer.xml", NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS);
	if (!doc)
		return error_null(err, ERROR_SERVICE, 0, "the answer is not well-formed XML");
	if (doc->intSubset || !xmlDocGetRootElement(doc)) {
		xmlFreeDoc(doc);
		return error_null(err, ERROR_SERVICE, 0,
			"the answer has a document type or no content");
	}
	return (struct ec2_xml *)(void *)doc;
}

void ec2_xml_free(struct ec2_xml *x)
{
	if (x)
		xmlFreeDoc(doc_of(x));
}

const struct ec2_node *ec2_xml_root(const struct ec2_xml *x)
{
	return wrap(xmlDocGetRootElement(doc_of(x)));
}

const struct ec2_node *ec2_xml_child(const struct ec2_node *node, const char *name)
{
	if (!node)
		return NULL;
	for (const xmlNode *n = node_of(node)->children; n; n = n->next) {
		if (has_name(n, name))
			return wrap(n);
	}
	return NULL;
}

const struct ec2_node *ec2_xml_next(const struct ec2_node *node)
{
	const char *name = (const char *)node_of(node)->name;

	for (const xmlNode *n = node_of(node)->next; n; n = n->next) {
		if (has_name(n, name))
			return wrap(n);
	}
	return NULL;
}

bool ec2_xml_has_grandchild(const struct ec2_node *node, const char *name)
{
	for (const xmlNode *n = node_of(node)->children; n; n = n->next) {
		if (n->type == XML_ELEMENT_NODE && ec2_xml_child(wrap(n), name))
			return true;
	}
	return false;
}

bool ec2_xml_is(const struct ec2_node *node, const char *name)
{
	return node && has_name(node_of(node), name);
}

bool ec2_xml_text(const struct ec2_node *node, const char *name, char *out, size_t size)
{
	const struct ec2_node *child = ec2_xml_child(node, name);
	size_t len = 0;

	if (child) {
		for (const xmlNode *n = node_of(child)->children; n; n = n->next) {
			size_t more;

			if (n->type != XML_TEXT_NODE && n->type != XML_CDATA_SECTION_NODE)
				continue;
			more = MIN(strlen((const char *)n->content), size - 1 - len);
			memcpy(out + len, n->content, more);
			len += more;
		}
	}
	out[len] = '\0';
	return child != NULL;
}

uint64_t ec2_xml_number(const struct ec2_node *node, const char *name, uint64_t fallback)
{
	char text[32];
	uint64_t value;

	ec2_xml_text(node, name, text, sizeof(text));
	return num_parse(text, UINT64_MAX, &value, NULL) == 0 ? value : fallback;
}

bool ec2_xml_bool(const struct ec2_node *node, const char *name, bool fallback)
{
	char text[8];

	if (!ec2_xml_text(node, name, text, sizeof(text)))
		return fallback;
	return strcmp(text, "true") == 0;
}
