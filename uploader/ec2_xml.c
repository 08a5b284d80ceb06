/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers by base/xmldoc.h. Unknown elements are never looked at, so new ones do no harm.
 */
#include "uploader/ec2_xml.h"

#include <string.h>

#include "base/num.h"
#include "base/xmldoc.h"

/* These two names are of this layer; the objects behind them are those of base/xmldoc.h. */
static const struct xmldoc *doc_of(const struct ec2_xml *x)
{
	return (const struct xmldoc *)(const void *)x;
}

static const struct xmldoc_node *node_of(const struct ec2_node *n)
{
	return (const struct xmldoc_node *)(const void *)n;
}

static const struct ec2_node *wrap(const struct xmldoc_node *n)
{
	return (const struct ec2_node *)(const void *)n;
}

struct ec2_xml *ec2_xml_parse(const char *text, size_t len, struct error *err)
{
	struct error why = ERROR_INIT;
	struct xmldoc *x = xmldoc_parse(text, len, &why);

	if (!x)
		error_set(err, ERROR_SERVICE, 0, "the answer %s", why.text);
	return (struct ec2_xml *)(void *)x;
}

void ec2_xml_free(struct ec2_xml *x)
{
	xmldoc_free((struct xmldoc *)(void *)x);
}

const struct ec2_node *ec2_xml_root(const struct ec2_xml *x)
{
	return wrap(xmldoc_root(doc_of(x)));
}

const struct ec2_node *ec2_xml_child(const struct ec2_node *node, const char *name)
{
	return wrap(xmldoc_child(node_of(node), name));
}

const struct ec2_node *ec2_xml_next(const struct ec2_node *node)
{
	return wrap(xmldoc_next(node_of(node)));
}

bool ec2_xml_has_grandchild(const struct ec2_node *node, const char *name)
{
	return xmldoc_has_grandchild(node_of(node), name);
}

bool ec2_xml_is(const struct ec2_node *node, const char *name)
{
	return xmldoc_is(node_of(node), name);
}

bool ec2_xml_text(const struct ec2_node *node, const char *name, char *out, size_t size)
{
	const struct xmldoc_node *child = xmldoc_child(node_of(node), name);

	xmldoc_text(child, out, size);
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
