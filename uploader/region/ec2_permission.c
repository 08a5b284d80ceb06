/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2: lists of permissions as parameters of Modify…Attribute, in both of their forms, and in
 * records and answers. An entry is {kind: value}.
 */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

/* One kind of entry: in records and answers, in structures, and in flat lists. */
static const struct kind {
	const char *key, *member, *list;
	bool image_only;
} kinds[] = {
	{"userId", "UserId", "UserId", false},
	{"group", "Group", "UserGroup", false},
	{"organizationArn", "OrganizationArn", "OrganizationArn", true},
	{"organizationalUnitArn", "OrganizationalUnitArn", "OrganizationalUnitArn", true},
};

/*
 * Any account that could exist may be named, not only those of this folder: a publish with its real
 * accounts can be rehearsed so.
 */
static bool value_ok(const struct kind *kind, const char *value)
{
	if (strcmp(kind->key, "group") == 0)
		return strcmp(value, "all") == 0;
	if (kind->image_only)
		return accounts_is_organization_arn(value) &&
		       (strstr(value, ":ou/") != NULL) == (kind == &kinds[3]);
	return strlen(value) == ACCOUNT_SIZE - 1 && strspn(value, "0123456789") == ACCOUNT_SIZE - 1 &&
	       strspn(value, "0") < ACCOUNT_SIZE - 1;
}

static bool add_entry(struct ec2_ctx *c, const struct ec2_permission_kind *what,
	const struct kind *kind, const char *value, struct json *list)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *one = json_new_object(&err);

	if (kind->image_only && !what->organizations)
		return ec2_refuse(c, "UnknownParameter", "The parameter %s is not recognized",
			kind->member);
	if (!value_ok(kind, value))
		return ec2_refuse(c, what->bad_value,
			"Invalid attribute item value \"%.120s\" for %s item type.", value, kind->key);
	if (!one || json_set_str(one, kind->key, value, &err) < 0 ||
	    json_append(list, steal_ptr(&one), &err) < 0)
		return ec2_internal(c, &err);
	return false;
}

/* <structure>.<Add|Remove>.N.{UserId, Group …}. */
static bool get_structured(struct ec2_ctx *c, const struct ec2_permission_kind *what,
	const char *change, struct json *list)
{
	char name[80];

	for (unsigned n = 1;; n++) {
		(void)snprintf(name, sizeof(name), "%s.%s.%u.", what->structure, change, n);
		if (!form_has_prefix(&c->form, name))
			return false;
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			const char *value = form_getf(&c->form, "%s%s", name, kinds[k].member);

			if (value && add_entry(c, what, &kinds[k], value, list))
				return true;
		}
	}
}

/* UserId.N, UserGroup.N … with OperationType. */
static bool get_flat(struct ec2_ctx *c, const struct ec2_permission_kind *what,
	struct ec2_permission_changes *changes)
{
	const char *operation = form_get(&c->form, "OperationType");
	struct json *list;

	if (!operation)
		return false;
	if (strcmp(operation, "add") != 0 && strcmp(operation, "remove") != 0)
		return ec2_refuse(c, "InvalidParameterValue",
			"Value (%.40s) for parameter operationType is invalid. Use add or remove",
			operation);
	list = *operation == 'a' ? changes->add : changes->remove;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		const char *value;

		for (unsigned n = 1; (value = form_getf(&c->form, "%s.%u", kinds[k].list, n)); n++)
			if (add_entry(c, what, &kinds[k], value, list))
				return true;
	}
	return false;
}

bool ec2_get_permissions(struct ec2_ctx *c, const struct ec2_permission_kind *what,
	struct ec2_permission_changes *changes)
{
	struct error err = ERROR_INIT;

	changes->add = json_new_array(&err);
	changes->remove = json_new_array(&err);
	if (!changes->add || !changes->remove)
		return ec2_internal(c, &err);
	return get_structured(c, what, "Add", changes->add) ||
	       get_structured(c, what, "Remove", changes->remove) || get_flat(c, what, changes);
}

void ec2_permissions_release(struct ec2_permission_changes *changes)
{
	json_free(changes->add);
	json_free(changes->remove);
}

static bool same_entry(const struct json *a, const struct json *b)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		if (strcmp(json_get_str(a, kinds[k].key, ""), json_get_str(b, kinds[k].key, "")) != 0)
			return false;
	return true;
}

static bool has_entry(const struct json *list, const struct json *entry)
{
	for (size_t i = 0; i < json_length(list); i++)
		if (same_entry(json_at(list, i), entry))
			return true;
	return false;
}

/* Appends to `to` what `from` has, it has not, and `without` has not. */
static int merge(struct json *to, const struct json *from, const struct json *without,
	struct error *err)
{
	for (size_t i = 0; i < json_length(from); i++) {
		const struct json *entry = json_at(from, i);
		CLEANUP(json_cleanup) struct json *copy = NULL;

		if (has_entry(to, entry) || has_entry(without, entry))
			continue;
		copy = json_new_object(err);
		for (size_t k = 0; copy && k < ARRAY_SIZE(kinds); k++)
			if (json_set_str(copy, kinds[k].key, json_get_str(entry, kinds[k].key, NULL), err) < 0)
				return -1;
		if (!copy || json_append(to, steal_ptr(&copy), err) < 0)
			return -1;
	}
	return 0;
}

struct json *ec2_permissions_apply(const struct json *old, const struct ec2_permission_changes *changes,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list || merge(list, old, changes->remove, err) < 0 ||
	    merge(list, changes->add, changes->remove, err) < 0)
		return NULL;
	return steal_ptr(&list);
}

bool ec2_permissions_name_all(const struct json *list)
{
	for (size_t i = 0; i < json_length(list); i++)
		if (strcmp(json_get_str(json_at(list, i), "group", ""), "all") == 0)
			return true;
	return false;
}

void ec2_write_permissions(struct ec2_ctx *c, const char *tag, const struct json *list)
{
	xml_open(&c->xml, tag);
	for (size_t i = 0; i < json_length(list); i++) {
		xml_open(&c->xml, "item");
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
			xml_str(&c->xml, kinds[k].key, json_get_str(json_at(list, i), kinds[k].key, NULL));
		xml_close(&c->xml, "item");
	}
	xml_close(&c->xml, tag);
}
