/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright images`: AMIs as a list. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "builder/report.h"
#include "builder/share.h"
#include "uploader/ec2_copy.h"

struct images_options {
	const char *name, *owner;
	struct options_list ids, filters;
	bool all_regions, more;
};

#define FIELD(field) offsetof(struct images_options, field)

static const struct options_def options[] = {
	{"name", 0, OPTIONS_TEXT, FIELD(name), "PATTERN", "only names that match; * and ? are wildcards",
		0, 0, NULL},
	{"id", 0, OPTIONS_LIST, FIELD(ids), "AMI", "only this image; may be given many times", 0, 0,
		NULL},
	{"filter", 0, OPTIONS_LIST, FIELD(filters), "NAME=VALUE",
		"a filter of DescribeImages, like tag:team=web; may be given many times", 0, 0, NULL},
	{"owner", 0, OPTIONS_TEXT, FIELD(owner), "OWNER",
		"self (default), an account, amazon, aws-marketplace, or any: all that may be used", 0, 0,
		NULL},
	{"all-regions", 0, OPTIONS_FLAG, FIELD(all_regions), NULL,
		"in all regions that the account can use", 0, 0, NULL},
	{"long", 'l', OPTIONS_FLAG, FIELD(more), NULL,
		"also what protects, deprecates and shares them, where they come from, tags, volumes", 0, 0,
		NULL},
	{0},
};

struct listing { /* of one region */
	const char *region;
	struct ec2_image_list images;
	struct ec2_permission_list *shared; /* owned; one for each image, or NULL */
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

static const char *or_null(const char *text)
{
	return text[0] ? text : NULL;
}

static bool is_bundle(const struct ec2_image *image)
{
	return !strcmp(image->root_type, "instance-store");
}

static struct json *tags_json(const struct ec2_image *image, struct error *err)
{
	CLEANUP(json_cleanup) struct json *tags = json_new_object(err);

	for (size_t i = 0; tags && i < image->tags.nr; i++)
		if (json_set_str(tags, image->tags.items[i].key, image->tags.items[i].value, err) < 0)
			return NULL;
	return steal_ptr(&tags);
}

static int add_texts(struct json *out, const struct ec2_image *image, const char *region,
	struct error *err)
{
	const struct {
		const char *key, *text;
	} texts[] = {
		{"ami", image->id},
		{"region", region},
		{"name", image->name},
		{"state", image->state},
		{"architecture", image->architecture},
		{"created", image->creation_date},
		{"owner", image->owner},
		{"root_device", image->root_device},
		{"root_type", or_null(image->root_type)},
		/* Others have no more than account and name there. */
		{"location", is_bundle(image) ? image->location : NULL},
		{"boot_mode", or_null(image->boot_mode)},
		{"imds", or_null(image->imds)},
		{"tpm", or_null(image->tpm)},
		{"description", image->description},
		{"deprecation", or_null(image->deprecation)},
		{"protection", or_null(image->protection)},
		{"last_launched", or_null(image->last_launched)},
		{"source", or_null(image->source)},
		{"source_region", or_null(image->source_region)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (json_set_str(out, texts[i].key, texts[i].text, err) < 0)
			return -1;
	return 0;
}

static struct json *image_json(const struct listing *l, size_t i, struct error *err)
{
	const struct ec2_image *image = &l->images.items[i];
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);

	if (!out || add_texts(out, image, l->region, err) < 0 ||
		json_set_bool(out, "public", image->is_public, err) < 0 ||
		json_set_bool(out, "ena", image->ena, err) < 0 ||
		json_set(out, "mapping", report_mapping_json(image->mappings, image->nr_mappings, err),
			err) < 0 ||
		json_set(out, "tags", tags_json(image, err), err) < 0 ||
		(l->shared &&
			json_set(out, "shared", share_permissions_json(&l->shared[i], err), err) < 0))
		return NULL;
	return steal_ptr(&out);
}

static int add_json(const struct listing *all, size_t nr, struct buf *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *images = json_new_array(err);

	if (!doc || !images)
		return -1;
	for (size_t r = 0; r < nr; r++)
		for (size_t i = 0; i < all[r].images.nr; i++)
			if (json_append(images, image_json(&all[r], i, err), err) < 0)
				return -1;
	if (json_set(doc, "images", steal_ptr(&images), err) < 0)
		return -1;
	return json_write(doc, true, out, err);
}

static int add_line(struct buf *out, const char *what, const char *text, struct error *err)
{
	return text[0] ? buf_addf(out, err, "  %-12s %s\n", what, text) : 0;
}

static int add_more(const struct listing *l, size_t i, struct buf *out, struct error *err)
{
	const struct ec2_image *image = &l->images.items[i];

	if (add_line(out, "owner", image->owner, err) < 0 ||
		(is_bundle(image) && add_line(out, "bundle", image->location, err) < 0) ||
		add_line(out, "description", image->description, err) < 0 ||
		add_line(out, "boot mode", image->boot_mode, err) < 0 ||
		add_line(out, "deprecation", image->deprecation, err) < 0 ||
		add_line(out, "protection", image->protection, err) < 0 ||
		add_line(out, "launched", image->last_launched, err) < 0 ||
		(image->source[0] && buf_addf(out, err, "  %-12s %s/%s\n", "copy of",
					     image->source_region, image->source) < 0))
		return -1;
	if (!l->shared && image->is_public && add_line(out, "shared", "public", err) < 0)
		return -1;
	for (size_t k = 0; l->shared && k < l->shared[i].nr; k++) {
		const struct ec2_permission *p = &l->shared[i].items[k];

		if (buf_addf(out, err, "  %-12s %s%s%s\n", "shared", share_kind_name(p->kind),
			    p->kind == EC2_GROUP ? "" : " ", p->kind == EC2_GROUP ? "" : p->value) < 0)
			return -1;
	}
	for (size_t k = 0; k < image->tags.nr; k++)
		if (buf_addf(out, err, "  %-12s %s=%s\n", "tag", image->tags.items[k].key,
			    image->tags.items[k].value) < 0)
			return -1;
	return report_mapping_text(image->mappings, image->nr_mappings, out, err);
}

static int add_text(const struct listing *l, const struct images_options *o, struct buf *out,
	struct error *err)
{
	for (size_t i = 0; i < l->images.nr; i++) {
		const struct ec2_image *image = &l->images.items[i];

		if ((o->all_regions && buf_addf(out, err, "%-14s  ", l->region) < 0) ||
			buf_addf(out, err, "%-21s  %-24s  %-6s  %-9s  %s\n", image->id,
				image->creation_date, image->architecture, image->state, image->name) < 0 ||
			(o->more && add_more(l, i, out, err) < 0))
			return -1;
	}
	return 0;
}

/* "NAME=VALUE"; *texts is what the names are kept in. */
static int parse_filters(const struct images_options *o, struct ec2_filter *filters, size_t *nr,
	char **texts, struct error *err)
{
	*nr = 0;
	if (o->name)
		filters[(*nr)++] = (struct ec2_filter){"name", o->name};
	for (size_t i = 0; i < o->filters.nr; i++) {
		const char *text = o->filters.items[i], *eq = strchr(text, '=');

		if (!eq || eq == text)
			return error_set(err, ERROR_USAGE, 0, "--filter: '%s' is not NAME=VALUE", text);
		texts[i] = buf_strf(err, "%.*s", (int)(eq - text), text);
		if (!texts[i])
			return -1;
		filters[(*nr)++] = (struct ec2_filter){texts[i], eq + 1};
	}
	return 0;
}

/* Only the owner is told with whom an image is shared. */
static int read_shared(struct aws *aws, struct listing *l, struct error *err)
{
	l->shared = calloc(l->images.nr + 1, sizeof(*l->shared));
	if (!l->shared)
		return error_nomem(err, "permissions");
	for (size_t i = 0; i < l->images.nr; i++)
		if (ec2_image_permissions(aws, l->images.items[i].id, &l->shared[i], err) < 0)
			return -1;
	return 0;
}

static int list_region(struct context *ctx, const struct ec2_image_query *query, bool shared,
	struct listing *l, struct error *err)
{
	struct aws *aws = context_aws_in(ctx, l->region, err);

	if (!aws || ec2_find_images(aws, query, &l->images, err) < 0)
		return -1;
	l->region = aws_region(aws);
	if (l->images.nr)
		qsort(l->images.items, l->images.nr, sizeof(*l->images.items), by_date);
	return shared ? read_shared(aws, l, err) : 0;
}

static int print(struct context *ctx, const struct images_options *o, const struct listing *all,
	size_t nr, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (ctx->opts.json && add_json(all, nr, &out, err) < 0)
		return -1;
	for (size_t i = 0; i < nr && !ctx->opts.json; i++)
		if (add_text(&all[i], o, &out, err) < 0)
			return -1;
	return context_print(&out, err);
}

static int list(struct context *ctx, const struct images_options *o,
	const struct ec2_image_query *query, struct error *err)
{
	struct ec2_region_list regions = {0};
	struct listing *all;
	size_t nr = 1;
	int ret = 0;

	if (o->all_regions) {
		struct aws *aws = context_aws(ctx, err);

		if (!aws || ec2_regions(aws, &regions, err) < 0)
			return -1;
		nr = regions.nr;
	}
	all = calloc(nr + 1, sizeof(*all));
	if (!all)
		ret = error_nomem(err, "the list of images");
	for (size_t i = 0; i < nr && !ret; i++) {
		all[i].region = o->all_regions ? regions.names[i] : NULL;
		ret = list_region(ctx, query, o->more && !o->owner, &all[i], err);
	}
	if (!ret)
		ret = print(ctx, o, all, nr, err);
	for (size_t i = 0; i < nr && all; i++) {
		for (size_t k = 0; all[i].shared && k < all[i].images.nr; k++)
			free(all[i].shared[k].items);
		free(all[i].shared);
		ec2_image_list_release(&all[i].images);
	}
	free(all);
	free(regions.names);
	return ret;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct images_options *o = popts;
	CLEANUP_FREE struct ec2_filter *filters = calloc(o->filters.nr + 2, sizeof(*filters));
	CLEANUP_FREE char **texts = calloc(o->filters.nr + 1, sizeof(*texts));
	struct ec2_image_query query = {.owner = o->owner ? o->owner : "self", .ids = o->ids.items};
	int ret;

	(void)args;
	if (!filters || !texts)
		return error_nomem(err, "filters");
	if (!strcmp(query.owner, "any"))
		query.owner = NULL;
	ret = parse_filters(o, filters, &query.nr_filters, texts, err);
	query.filters = filters;
	if (!ret)
		ret = list(ctx, o, &query, err);
	for (size_t i = 0; i < o->filters.nr; i++)
		free(texts[i]);
	return ret;
}

const struct command cmd_images = {
	.name = "images",
	.args = "",
	.summary = "list AMIs",
	.description = "Lists AMIs, own ones unless said otherwise, oldest first: id, date, architecture,\n"
		       "state, name.",
	.options = options,
	.options_size = sizeof(struct images_options),
	.run = run,
};
