/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: tags of images and snapshots, as parameters, as records, and as calls. */
#include "uploader/region/ec2_internal.h"

#include <string.h>

#include "base/num.h"

enum { MAX_TAGS = 50, MAX_TAG_KEY = 127, MAX_TAG_VALUE = 256 };

static bool check_tag(struct ec2_ctx *c, const char *key, const char *value)
{
	if (*key == '\0' || strlen(key) > MAX_TAG_KEY || strncmp(key, "aws:", 4) == 0)
		return ec2_refuse(c, "InvalidParameterValue",
			"Tag key '%.140s' must have 1 to %d characters and not begin with 'aws:'", key,
			MAX_TAG_KEY);
	if (strlen(value) > MAX_TAG_VALUE)
		return ec2_refuse(c, "InvalidParameterValue",
			"Tag value exceeds the maximum length of %d characters", MAX_TAG_VALUE);
	return false;
}

static bool refuse_twice(struct ec2_ctx *c, const char *key)
{
	return ec2_refuse(c, "InvalidParameterValue", "Duplicate tag key '%.140s' specified.", key);
}

void ec2_write_tags(struct ec2_ctx *c, const struct json *doc)
{
	const struct json *tags = json_get(doc, "tags");

	if (json_length(tags) == 0)
		return;
	xml_open(&c->xml, "tagSet");
	for (size_t i = 0; i < json_length(tags); i++) {
		xml_open(&c->xml, "item");
		xml_str(&c->xml, "key", json_get_str(json_at(tags, i), "Key", ""));
		xml_str(&c->xml, "value", json_get_str(json_at(tags, i), "Value", ""));
		xml_close(&c->xml, "item");
	}
	xml_close(&c->xml, "tagSet");
}

static int append_tag(struct json *list, const char *key, const char *value, struct error *err)
{
	CLEANUP(json_cleanup) struct json *tag = json_new_object(err);

	if (!tag || json_set_str(tag, "Key", key, err) < 0 ||
	    json_set_str(tag, "Value", value, err) < 0)
		return -1;
	return json_append(list, steal_ptr(&tag), err);
}

/* The tags of TagSpecification.n into *list, which is made when it is not there. */
static bool get_specified(struct ec2_ctx *c, unsigned n, struct json **list)
{
	struct error err = ERROR_INIT;
	const char *key;

	if (!*list && !(*list = json_new_array(&err)))
		return ec2_internal(c, &err);
	for (unsigned m = 1; (key = form_getf(&c->form, "TagSpecification.%u.Tag.%u.Key", n, m)); m++) {
		const char *value = form_getf(&c->form, "TagSpecification.%u.Tag.%u.Value", n, m);

		if (check_tag(c, key, value ? value : ""))
			return true;
		for (size_t i = 0; i < json_length(*list); i++)
			if (strcmp(json_get_str(json_at(*list, i), "Key", ""), key) == 0)
				return refuse_twice(c, key);
		if (append_tag(*list, key, value ? value : "", &err) < 0)
			return ec2_internal(c, &err);
	}
	return json_length(*list) > MAX_TAGS &&
	       ec2_refuse(c, "TagLimitExceeded", "At most %d tags are possible", MAX_TAGS);
}

bool ec2_get_tag_specifications(struct ec2_ctx *c, const char *type, struct json **tags,
	const char *type2, struct json **tags2)
{
	const char *resource;

	*tags = NULL;
	if (type2)
		*tags2 = NULL;
	for (unsigned n = 1; (resource = form_getf(&c->form, "TagSpecification.%u.ResourceType", n));
		n++) {
		bool first = strcmp(resource, type) == 0;

		if (!first && !(type2 && strcmp(resource, type2) == 0))
			return ec2_refuse(c, "InvalidParameterValue",
				"'%.40s' is not a valid taggable resource type for this operation.",
				resource);
		if (get_specified(c, n, first ? tags : tags2))
			return true;
	}
	return false;
}

bool ec2_get_tag_specification(struct ec2_ctx *c, const char *type, struct json **tags)
{
	return ec2_get_tag_specifications(c, type, tags, NULL, NULL);
}

/* Tag.N of CreateTags and DeleteTags; a value may be absent (NULL) in the latter. */
struct tag_list {
	struct {
		const char *key, *value;
	} items[MAX_TAGS];
	size_t nr;
};

/* The value that `changes` has for a key: its index, or nr. */
static size_t find_tag(const struct tag_list *tags, const char *key)
{
	size_t i = 0;

	while (i < tags->nr && strcmp(tags->items[i].key, key) != 0)
		i++;
	return i;
}

static bool get_tags(struct ec2_ctx *c, struct tag_list *tags)
{
	const char *key;

	tags->nr = 0;
	while ((key = form_getf(&c->form, "Tag.%zu.Key", tags->nr + 1))) {
		const char *value = form_getf(&c->form, "Tag.%zu.Value", tags->nr + 1);

		if (tags->nr == MAX_TAGS)
			return ec2_refuse(c, "TagLimitExceeded", "At most %d tags are possible",
				MAX_TAGS);
		if (check_tag(c, key, value ? value : ""))
			return true;
		if (find_tag(tags, key) < tags->nr)
			return refuse_twice(c, key);
		tags->items[tags->nr].key = key;
		tags->items[tags->nr++].value = value;
	}
	return false;
}

/* The record's tags without those that change; NULL on error. */
static struct json *tags_without(const struct json *doc, const struct tag_list *changes, bool remove,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);
	const struct json *old = json_get(doc, "tags");

	for (size_t i = 0; list && i < json_length(old); i++) {
		const char *key = json_get_str(json_at(old, i), "Key", "");
		const char *value = json_get_str(json_at(old, i), "Value", "");
		size_t at = find_tag(changes, key);
		bool goes = at < changes->nr;

		/* DeleteTags with a value removes only a tag that has it; without tags, all. */
		if (remove && goes && changes->items[at].value)
			goes = strcmp(changes->items[at].value, value) == 0;
		if (remove && changes->nr == 0)
			goes = true;
		if (!goes && append_tag(list, key, value, err) < 0)
			return NULL;
	}
	return steal_ptr(&list);
}

int ec2_add_tags(struct json *doc, const struct json *more, struct error *err)
{
	struct tag_list changes = {.nr = 0};
	CLEANUP(json_cleanup) struct json *list = NULL;

	for (size_t i = 0; i < json_length(more) && i < MAX_TAGS; i++)
		changes.items[changes.nr++].key = json_get_str(json_at(more, i), "Key", "");
	list = tags_without(doc, &changes, false, err);
	for (size_t i = 0; list && i < json_length(more); i++)
		if (append_tag(list, json_get_str(json_at(more, i), "Key", ""),
			    json_get_str(json_at(more, i), "Value", ""), err) < 0)
			return -1;
	return list ? json_set(doc, "tags", steal_ptr(&list), err) : -1;
}

static bool change_tags(struct ec2_ctx *c, struct json *doc, const struct tag_list *changes,
	bool remove)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *list = tags_without(doc, changes, remove, &err);

	for (size_t i = 0; list && !remove && i < changes->nr; i++)
		if (append_tag(list, changes->items[i].key,
			    changes->items[i].value ? changes->items[i].value : "", &err) < 0)
			return ec2_internal(c, &err);
	if (!list)
		return ec2_internal(c, &err);
	if (json_length(list) > MAX_TAGS)
		return ec2_refuse(c, "TagLimitExceeded", "At most %d tags are possible", MAX_TAGS);
	return json_set(doc, "tags", steal_ptr(&list), &err) < 0 && ec2_internal(c, &err);
}

/* A resource of the call: one of the two, by its id. True with a reply when there is none. */
static bool find_resource(struct ec2_ctx *c, const char *id, struct snapshot **snap,
	struct image **image)
{
	*snap = store_find_snapshot(c->store, id);
	*image = store_find_image(c->store, id);
	if ((*snap && access_owns_snapshot(*snap, c->account)) ||
	    (*image && access_owns_image(*image, c->account)))
		return false;
	if (strncmp(id, "ami-", 4) == 0)
		return ec2_refuse(c, "InvalidAMIID.NotFound",
			"The image id '[%.60s]' does not exist", id);
	if (strncmp(id, "snap-", 5) == 0)
		return ec2_refuse(c, "InvalidSnapshot.NotFound",
			"The snapshot '%.60s' does not exist.", id);
	return ec2_refuse(c, "InvalidID", "The ID '%.80s' is not valid", id);
}

/* With store->lock held: all resources are looked up before the first is changed. */
static void tag_resources(struct ec2_ctx *c, const struct ec2_list *ids,
	const struct tag_list *tags, bool remove)
{
	struct error err = ERROR_INIT;
	struct snapshot *snap;
	struct image *image;

	for (size_t i = 0; i < ids->nr; i++)
		if (find_resource(c, ids->items[i], &snap, &image))
			return;
	for (size_t i = 0; i < ids->nr; i++) {
		if (find_resource(c, ids->items[i], &snap, &image) ||
		    change_tags(c, snap ? snap->doc : image->doc, tags, remove))
			return;
		if ((snap ? store_save_snapshot(snap, &err) :
			    store_save_image(c->store, image, &err)) < 0) {
			ec2_internal(c, &err);
			return;
		}
	}
	ec2_answer_true(c);
}

static void tags_call(struct ec2_ctx *c, bool remove)
{
	struct tag_list tags;
	struct ec2_list ids;

	ec2_list_get(c, "ResourceId", &ids);
	if (get_tags(c, &tags))
		return;
	if (ids.nr == 0 || (tags.nr == 0 && !remove)) {
		ec2_refuse(c, "MissingParameter", "The request must contain the parameter %s",
			ids.nr == 0 ? "resourceIdSet" : "tagSet");
		return;
	}
	if (ec2_ready(c))
		return;
	pthread_mutex_lock(&c->store->lock);
	tag_resources(c, &ids, &tags, remove);
	pthread_mutex_unlock(&c->store->lock);
}

void ec2_call_create_tags(struct ec2_ctx *c)
{
	tags_call(c, false);
}

void ec2_call_delete_tags(struct ec2_ctx *c)
{
	tags_call(c, true);
}

/* The four filters of DescribeTags against one tag. */
static bool tag_selected(const struct ec2_filters *filters, const char *id, const char *type,
	const char *key, const char *value)
{
	bool all = true;

	for (size_t i = 0; i < filters->nr; i++) {
		const char *name = filters->items[i].name;
		const char *text = strcmp(name, "resource-id") == 0 ? id :
			strcmp(name, "resource-type") == 0          ? type :
			strcmp(name, "key") == 0                    ? key :
								      value;
		bool any = false;

		for (size_t v = 0; v < filters->items[i].nr; v++)
			any |= ec2_wildcard(filters->items[i].values[v], text);
		all &= any;
	}
	return all;
}

static void write_tag_items(struct ec2_ctx *c, const struct ec2_filters *filters, const char *id,
	const char *type, const struct json *doc)
{
	const struct json *tags = json_get(doc, "tags");

	for (size_t i = 0; i < json_length(tags); i++) {
		const char *key = json_get_str(json_at(tags, i), "Key", "");
		const char *value = json_get_str(json_at(tags, i), "Value", "");

		if (!tag_selected(filters, id, type, key, value))
			continue;
		xml_open(&c->xml, "item");
		xml_str(&c->xml, "resourceId", id);
		xml_str(&c->xml, "resourceType", type);
		xml_str(&c->xml, "key", key);
		xml_str(&c->xml, "value", value);
		xml_close(&c->xml, "item");
	}
}

void ec2_call_describe_tags(struct ec2_ctx *c)
{
	static const char *const names[] = {"resource-id", "resource-type", "key", "value"};
	struct store *store = c->store;
	struct ec2_filters filters;

	if (ec2_get_filters(c, &filters) || ec2_ready(c))
		return;
	for (size_t i = 0; i < filters.nr; i++) {
		bool known = false;

		for (size_t n = 0; n < ARRAY_SIZE(names); n++)
			known |= strcmp(filters.items[i].name, names[n]) == 0;
		if (!known) {
			ec2_refuse(c, "InvalidParameterValue", "The filter '%.80s' is invalid",
				filters.items[i].name);
			return;
		}
	}
	ec2_begin(c);
	xml_open(&c->xml, "tagSet");
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->nr_images; i++)
		if (access_owns_image(store->images[i], c->account))
			write_tag_items(c, &filters, store->images[i]->id, "image",
				store->images[i]->doc);
	for (size_t i = 0; i < store->nr_snapshots; i++)
		if (access_owns_snapshot(store->snapshots[i], c->account))
			write_tag_items(c, &filters, store->snapshots[i]->id, "snapshot",
				store->snapshots[i]->doc);
	pthread_mutex_unlock(&store->lock);
	xml_close(&c->xml, "tagSet");
	ec2_end(c);
}
