/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright images`: own AMIs as a list. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

#include "builder/report.h"

struct images_options {
	const char *name;
	struct options_list ids;
};

#define FIELD(field) offsetof(struct images_options, field)

static const struct options_def options[] = {
	{"name", 0, OPTIONS_TEXT, FIELD(name), "PATTERN", "only names that match; * and ? are wildcards",
		0, 0, NULL},
	{"id", 0, OPTIONS_LIST, FIELD(ids), "AMI", "only this image; may be given many times", 0, 0,
		NULL},
	{0},
};

/* Newest last, as in a log; names and ids settle what was made in one second. */
static int by_date(const void *pa, const void *pb)
{
	const struct ec2_image *a = pa, *b = pb;
	int order = strcmp(a->creation_date, b->creation_date);

	if (!order)
		order = strcmp(a->name, b->name);
	return order ? order : strcmp(a->id, b->id);
}

static struct json *image_json(const struct ec2_image *image, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);
	CLEANUP(json_cleanup) struct json *tags = json_new_object(err);

	if (!out || !tags)
		return NULL;
	for (size_t i = 0; i < image->tags.nr; i++)
		if (json_set_str(tags, image->tags.items[i].key, image->tags.items[i].value, err) < 0)
			return NULL;
	if (json_set_str(out, "ami", image->id, err) < 0 ||
		json_set_str(out, "name", image->name, err) < 0 ||
		json_set_str(out, "state", image->state, err) < 0 ||
		json_set_str(out, "architecture", image->architecture, err) < 0 ||
		json_set_str(out, "created", image->creation_date, err) < 0 ||
		json_set_str(out, "owner", image->owner, err) < 0 ||
		json_set_bool(out, "public", image->is_public, err) < 0 ||
		json_set_bool(out, "ena", image->ena, err) < 0 ||
		json_set_str(out, "root_device", image->root_device, err) < 0 ||
		json_set_str(out, "boot_mode", *image->boot_mode ? image->boot_mode : NULL, err) < 0 ||
		json_set_str(out, "imds", *image->imds ? image->imds : NULL, err) < 0 ||
		json_set_str(out, "description", image->description, err) < 0 ||
		json_set(out, "mapping", report_mapping_json(image->mappings, image->nr_mappings, err),
			err) < 0 ||
		json_set(out, "tags", steal_ptr(&tags), err) < 0)
		return NULL;
	return steal_ptr(&out);
}

static int add_json(const struct ec2_image_list *list, struct buf *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *images = json_new_array(err);

	if (!doc || !images)
		return -1;
	for (size_t i = 0; i < list->nr; i++)
		if (json_append(images, image_json(&list->items[i], err), err) < 0)
			return -1;
	if (json_set(doc, "images", steal_ptr(&images), err) < 0)
		return -1;
	return json_write(doc, true, out, err);
}

static int add_text(const struct ec2_image_list *list, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < list->nr; i++) {
		const struct ec2_image *image = &list->items[i];

		if (buf_addf(out, err, "%-21s  %-24s  %-6s  %-9s  %s\n", image->id,
			    image->creation_date, image->architecture, image->state, image->name) < 0)
			return -1;
	}
	return 0;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct images_options *o = popts;
	struct ec2_filter filter = {"name", o->name};
	struct ec2_image_list list = {0};
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	struct aws *aws = context_aws(ctx, err);
	int ret;

	(void)args;
	if (!aws)
		return -1;
	ret = ec2_describe_images(aws, o->ids.items, &filter, o->name ? 1 : 0, &list, err);
	if (!ret) {
		if (list.nr)
			qsort(list.items, list.nr, sizeof(*list.items), by_date);
		ret = ctx->opts.json ? add_json(&list, &out, err) : add_text(&list, &out, err);
	}
	if (!ret)
		ret = context_print(&out, err);
	ec2_image_list_release(&list);
	return ret;
}

const struct command cmd_images = {
	.name = "images",
	.args = "",
	.summary = "list the account's own AMIs",
	.description = "Lists own AMIs, oldest first: id, date, architecture, state, name.",
	.options = options,
	.options_size = sizeof(struct images_options),
	.run = run,
};
