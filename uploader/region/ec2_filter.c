/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: Filter.N, with wildcards, over the JSON records of images and snapshots. */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

bool ec2_get_filters(struct ec2_ctx *c, struct ec2_filters *filters)
{
	filters->nr = 0;
	while (filters->nr < EC2_FILTERS_MAX) {
		size_t nr = 0, n = filters->nr + 1;
		const char *value, *name = form_getf(&c->form, "Filter.%zu.Name", n);

		if (!name)
			break;
		while (nr < EC2_FILTER_VALUES_MAX &&
			(value = form_getf(&c->form, "Filter.%zu.Value.%zu", n, nr + 1)))
			filters->items[filters->nr].values[nr++] = value;
		if (nr == 0)
			return ec2_refuse(c, "InvalidParameterValue", "The filter '%.80s' has no value",
				name);
		filters->items[filters->nr].name = name;
		filters->items[filters->nr++].nr = nr;
	}
	return false;
}

/* One step of a pattern at *p against c; moves *p on. */
static bool match_char(const char **p, char c)
{
	if (**p == '?') {
		++*p;
		return true;
	}
	if (**p == '\\' && (*p)[1])
		++*p;
	return *(*p)++ == c;
}

bool ec2_wildcard(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	while (*text) {
		const char *next = pattern;

		if (*pattern == '*') {
			star = ++pattern;
			retry = text;
			continue;
		}
		if (*pattern && match_char(&next, *text)) {
			pattern = next;
			text++;
			continue;
		}
		if (!star)
			return false;
		pattern = star;
		text = ++retry;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool field_match(const struct json *doc, const char *key, enum ec2_field_kind kind,
	const char *pattern)
{
	char number[24];

	if (!json_get(doc, key))
		return false;
	switch (kind) {
	case EC2_FIELD_BOOL:
		return ec2_wildcard(pattern, json_get_bool(doc, key, false) ? "true" : "false");
	case EC2_FIELD_INT:
		(void)snprintf(number, sizeof(number), "%lld", (long long)json_get_int(doc, key, 0));
		return ec2_wildcard(pattern, number);
	case EC2_FIELD_TEXT:
		break;
	}
	return ec2_wildcard(pattern, json_get_str(doc, key, ""));
}

static bool tags_match(const struct json *tags, const char *name, const char *pattern)
{
	for (size_t i = 0; i < json_length(tags); i++) {
		const char *key = json_get_str(json_at(tags, i), "Key", "");
		const char *value = json_get_str(json_at(tags, i), "Value", "");

		if (strncmp(name, "tag:", 4) == 0 && strcmp(name + 4, key) != 0)
			continue;
		if (ec2_wildcard(pattern, strcmp(name, "tag-key") == 0 ? key : value))
			return true;
	}
	return false;
}

static const struct ec2_field mapping_fields[] = {
	{"block-device-mapping.snapshot-id", "snapshotId", EC2_FIELD_TEXT},
	{"block-device-mapping.volume-size", "volumeSize", EC2_FIELD_INT},
	{"block-device-mapping.volume-type", "volumeType", EC2_FIELD_TEXT},
	{"block-device-mapping.encrypted", "encrypted", EC2_FIELD_BOOL},
	{"block-device-mapping.delete-on-termination", "deleteOnTermination", EC2_FIELD_BOOL},
	{NULL, NULL, EC2_FIELD_TEXT},
};

static bool mapping_match(const struct json *doc, const char *name, const char *pattern, bool *known)
{
	const struct json *list = json_get(doc, "blockDeviceMapping");
	const struct ec2_field *field = mapping_fields;
	bool device = strcmp(name, "block-device-mapping.device-name") == 0;

	while (field->filter && strcmp(field->filter, name) != 0)
		field++;
	*known = device || field->filter;
	for (size_t i = 0; *known && i < json_length(list); i++) {
		const struct json *one = json_at(list, i);

		if (device ? field_match(one, "deviceName", EC2_FIELD_TEXT, pattern) :
			     field_match(json_get(one, "ebs"), field->key, field->kind, pattern))
			return true;
	}
	return false;
}

static bool one_match(const struct ec2_field *fields, const struct json *doc,
	const struct json *tags, const char *name, const char *pattern, bool *known)
{
	*known = true;
	if (strncmp(name, "tag:", 4) == 0 || strcmp(name, "tag-key") == 0 ||
	    strcmp(name, "tag-value") == 0)
		return tags_match(tags, name, pattern);
	for (; fields->filter; fields++)
		if (strcmp(fields->filter, name) == 0)
			return field_match(doc, fields->key, fields->kind, pattern);
	return mapping_match(doc, name, pattern, known);
}

bool ec2_filters_match(const struct ec2_filters *filters, const struct ec2_field *fields,
	const struct json *doc, const struct json *tags, const char **unknown)
{
	bool all = true;

	for (size_t i = 0; i < filters->nr; i++) {
		bool any = false, known = true;

		for (size_t v = 0; v < filters->items[i].nr && known; v++)
			any |= one_match(fields, doc, tags, filters->items[i].name,
				filters->items[i].values[v], &known);
		if (!known)
			*unknown = filters->items[i].name;
		all &= any;
	}
	return all;
}
