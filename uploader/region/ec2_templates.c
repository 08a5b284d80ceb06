/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2: the least of launch templates, so that what uses an AMI can be rehearsed: templates of one
 * version, which is the latest and the default, and of their data the ImageId alone. A template is a
 * setting of its account: its id, and "NAME IMAGE CREATED" (none of which has a space).
 */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/settings.h"

struct template {
	char name[129], image[64], created[NUM_TIME_TEXT];
};

static const struct ec2_field fields[] = {
	{"image-id", "imageId", EC2_FIELD_TEXT},
	{"create-time", "createTime", EC2_FIELD_TEXT},
	{NULL, NULL, EC2_FIELD_TEXT},
};

static bool read_template(const char *id, const char *text, struct template *t)
{
	return strncmp(id, "lt-", 3) == 0 && text &&
	       sscanf(text, "%128s %63s %47s", t->name, t->image, t->created) == 3;
}

/* With store->lock held: the id of the caller's template that the id or name is of, or NULL. */
static const char *find(const struct ec2_ctx *c, const char *id, const char *name, struct template *t)
{
	const struct json *mine = json_get(c->store->settings, c->account);
	struct json *value;

	for (const char *key = mine ? json_next_key(mine, NULL, &value) : NULL; key;
		key = json_next_key(mine, key, &value))
		if (read_template(key, json_text(value, NULL), t) &&
			(id ? strcmp(id, key) == 0 : strcmp(name, t->name) == 0))
			return key;
	return NULL;
}

static void answer_template(struct ec2_ctx *c, const char *id, const struct template *t)
{
	ec2_begin(c);
	xml_open(&c->xml, "launchTemplate");
	xml_str(&c->xml, "launchTemplateId", id);
	xml_str(&c->xml, "launchTemplateName", t->name);
	xml_str(&c->xml, "createTime", t->created);
	xml_int(&c->xml, "defaultVersionNumber", 1);
	xml_int(&c->xml, "latestVersionNumber", 1);
	xml_close(&c->xml, "launchTemplate");
	ec2_end(c);
}

/* With store->lock held. */
static void create(struct ec2_ctx *c, struct template *t)
{
	CLEANUP_FREE char *text = buf_strf(NULL, "%s %s %s", t->name, t->image, t->created);
	struct error err = ERROR_INIT;
	char id[STORE_ID_SIZE];
	struct template other;

	if (find(c, NULL, t->name, &other))
		ec2_refuse(c, "InvalidLaunchTemplateName.AlreadyExistsException",
			"Launch template name already in use.");
	else if (!text)
		c->reply->failed = true;
	else if (store_new_id(c->store, "lt-", id, &err) < 0 ||
		 settings_set(c->store, c->account, id, text, &err) < 0)
		ec2_internal(c, &err);
	else
		answer_template(c, id, t);
}

void ec2_call_create_launch_template(struct ec2_ctx *c)
{
	struct template t;
	const char *name, *image;

	/* A client's retry finds the name taken, which is as good as the token. */
	(void)form_get(&c->form, "ClientToken");
	if (ec2_get_required(c, "LaunchTemplateName", &name) ||
	    ec2_get_required(c, "LaunchTemplateData.ImageId", &image) || ec2_ready(c))
		return;
	if (strlen(name) < 3 || strlen(name) >= sizeof(t.name) || strpbrk(name, " \t\r\n") ||
	    strlen(image) >= sizeof(t.image) || strpbrk(image, " \t\r\n")) {
		ec2_refuse(c, "InvalidParameterValue", "The name or the image of the template is malformed");
		return;
	}
	snprintf(t.name, sizeof(t.name), "%s", name);
	snprintf(t.image, sizeof(t.image), "%s", image);
	num_format_time(t.created, region_now(c->region));
	pthread_mutex_lock(&c->store->lock);
	create(c, &t);
	pthread_mutex_unlock(&c->store->lock);
}

/* With store->lock held. */
static void delete(struct ec2_ctx *c, const char *wanted, const char *name)
{
	struct error err = ERROR_INIT;
	struct template t;
	const char *key = find(c, wanted, name, &t);
	char id[STORE_ID_SIZE];

	if (!key) {
		ec2_refuse(c, wanted ? "InvalidLaunchTemplateId.NotFound"
				     : "InvalidLaunchTemplateName.NotFoundException",
			"The specified launch template, %.128s, does not exist.", wanted ? wanted : name);
		return;
	}
	snprintf(id, sizeof(id), "%s", key);
	if (settings_set(c->store, c->account, id, NULL, &err) < 0)
		ec2_internal(c, &err);
	else
		answer_template(c, id, &t);
}

void ec2_call_delete_launch_template(struct ec2_ctx *c)
{
	const char *id = form_get(&c->form, "LaunchTemplateId");
	const char *name = form_get(&c->form, "LaunchTemplateName");

	if (!id == !name) {
		ec2_refuse(c, "MissingParameter", "Give LaunchTemplateId or LaunchTemplateName");
		return;
	}
	if (ec2_ready(c))
		return;
	pthread_mutex_lock(&c->store->lock);
	delete(c, id, name);
	pthread_mutex_unlock(&c->store->lock);
}

static void write_version(struct ec2_ctx *c, const char *id, const struct template *t)
{
	xml_open(&c->xml, "item");
	xml_str(&c->xml, "launchTemplateId", id);
	xml_str(&c->xml, "launchTemplateName", t->name);
	xml_int(&c->xml, "versionNumber", 1);
	xml_str(&c->xml, "createTime", t->created);
	xml_bool(&c->xml, "defaultVersion", true);
	xml_open(&c->xml, "launchTemplateData");
	xml_str(&c->xml, "imageId", t->image);
	xml_close(&c->xml, "launchTemplateData");
	xml_close(&c->xml, "item");
}

static bool matches(const struct ec2_filters *filters, const struct template *t)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(NULL);
	const char *unknown;

	return doc && json_set_str(doc, "imageId", t->image, NULL) == 0 &&
	       json_set_str(doc, "createTime", t->created, NULL) == 0 &&
	       ec2_filters_match(filters, fields, doc, NULL, &unknown);
}

/* With store->lock held. A page's token is a place in the list, in which deleted ones keep theirs. */
static void describe(struct ec2_ctx *c, const struct ec2_filters *filters, const struct ec2_page *page)
{
	const struct json *mine = json_get(c->store->settings, c->account);
	uint64_t at = 0, shown = 0;
	struct json *value;

	ec2_begin(c);
	xml_open(&c->xml, "launchTemplateVersionSet");
	for (const char *key = mine ? json_next_key(mine, NULL, &value) : NULL;
		key && shown < page->max; key = json_next_key(mine, key, &value)) {
		struct template t;

		if (++at <= page->last || !read_template(key, json_text(value, NULL), &t) ||
			!matches(filters, &t))
			continue;
		write_version(c, key, &t);
		shown++;
	}
	xml_close(&c->xml, "launchTemplateVersionSet");
	if (shown == page->max)
		ec2_next_token(c, "templates", at);
	ec2_end(c);
}

/* Of all templates of the account: what asks by a template's own id is not played. */
void ec2_call_describe_launch_template_versions(struct ec2_ctx *c)
{
	struct ec2_filters filters;
	struct ec2_list versions;
	struct ec2_page page;

	ec2_list_get(c, "LaunchTemplateVersion", &versions);
	if (ec2_get_filters(c, &filters) || ec2_get_page(c, "templates", 1, 200, &page) ||
	    ec2_check_filters(c, &filters, fields) || ec2_ready(c))
		return;
	for (size_t i = 0; i < versions.nr; i++) {
		if (strcmp(versions.items[i], "$Latest") && strcmp(versions.items[i], "$Default")) {
			ec2_refuse(c, "InvalidParameterValue",
				"Without a template the versions are $Latest and $Default");
			return;
		}
	}
	if (versions.nr == 0) {
		ec2_refuse(c, "MissingParameter", "The request must contain versions");
		return;
	}
	pthread_mutex_lock(&c->store->lock);
	describe(c, &filters, &page);
	pthread_mutex_unlock(&c->store->lock);
}
