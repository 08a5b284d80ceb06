/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeImages: AMIs as EC2 tells them, whole pages into one list. */
#include "uploader/ec2.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "uploader/ec2_internal.h"

void ec2_image_list_release(struct ec2_image_list *l)
{
	for (size_t i = 0; i < l->nr; i++) {
		free(l->items[i].mappings);
		ec2_tag_list_release(&l->items[i].tags);
	}
	free(l->items);
	memset(l, 0, sizeof(*l));
}

static int optional_bool(const struct xmldoc_node *node, const char *name)
{
	char text[8];

	return xmldoc_child_text(node, name, text, sizeof(text)) ? strcmp(text, "true") == 0 : -1;
}

static void read_mapping(const struct xmldoc_node *item, struct ec2_mapping *m)
{
	const struct xmldoc_node *ebs = xmldoc_child(item, "ebs");

	memset(m, 0, sizeof(*m));
	xmldoc_child_text(item, "deviceName", m->device, sizeof(m->device));
	xmldoc_child_text(item, "virtualName", m->virtual_name, sizeof(m->virtual_name));
	m->no_device = xmldoc_child(item, "noDevice") != NULL;
	m->encrypted = m->delete_on_termination = -1;
	if (!ebs)
		return;
	m->ebs = true;
	xmldoc_child_text(ebs, "snapshotId", m->snapshot, sizeof(m->snapshot));
	xmldoc_child_text(ebs, "volumeType", m->type, sizeof(m->type));
	m->size_gib = xmldoc_child_number(ebs, "volumeSize", 0);
	m->iops = (uint32_t)xmldoc_child_number(ebs, "iops", 0);
	m->throughput = (uint32_t)xmldoc_child_number(ebs, "throughput", 0);
	m->encrypted = optional_bool(ebs, "encrypted");
	m->delete_on_termination = optional_bool(ebs, "deleteOnTermination");
}

static size_t count_items(const struct xmldoc_node *set)
{
	size_t nr = 0;

	for (const struct xmldoc_node *n = xmldoc_child(set, "item"); n; n = xmldoc_next(n))
		nr++;
	return nr;
}

int ec2_read_tags(const struct xmldoc_node *item, struct ec2_tag_list *out, struct error *err)
{
	const struct xmldoc_node *set = xmldoc_child(item, "tagSet");

	out->nr = 0;
	out->items = calloc(count_items(set) + 1, sizeof(*out->items));
	if (!out->items)
		return error_nomem(err, "tags");
	for (const struct xmldoc_node *n = xmldoc_child(set, "item"); n; n = xmldoc_next(n)) {
		struct ec2_tag *tag = &out->items[out->nr++];

		xmldoc_child_text(n, "key", tag->key, sizeof(tag->key));
		xmldoc_child_text(n, "value", tag->value, sizeof(tag->value));
	}
	return 0;
}

void ec2_tag_list_release(struct ec2_tag_list *l)
{
	free(l->items);
	memset(l, 0, sizeof(*l));
}

const char *ec2_tag_value(const struct ec2_tag_list *l, const char *key)
{
	for (size_t i = 0; i < l->nr; i++)
		if (strcmp(l->items[i].key, key) == 0)
			return l->items[i].value;
	return NULL;
}

static int read_lists(const struct xmldoc_node *item, struct ec2_image *out, struct error *err)
{
	const struct xmldoc_node *maps = xmldoc_child(item, "blockDeviceMapping");

	out->mappings = calloc(count_items(maps) + 1, sizeof(*out->mappings));
	if (!out->mappings)
		return error_nomem(err, "the list of images");
	for (const struct xmldoc_node *n = xmldoc_child(maps, "item"); n; n = xmldoc_next(n))
		read_mapping(n, &out->mappings[out->nr_mappings++]);
	return ec2_read_tags(item, &out->tags, err);
}

static int read_image(const struct xmldoc_node *item, struct ec2_image *out, struct error *err)
{
	const struct {
		const char *name;
		char *text;
		size_t size;
	} texts[] = {
#define TEXT(name, field) {name, out->field, sizeof(out->field)}
		TEXT("imageId", id),
		TEXT("name", name),
		TEXT("imageState", state),
		TEXT("architecture", architecture),
		TEXT("rootDeviceName", root_device),
		TEXT("rootDeviceType", root_type),
		TEXT("creationDate", creation_date),
		TEXT("imageOwnerId", owner),
		TEXT("bootMode", boot_mode),
		TEXT("description", description),
		TEXT("imdsSupport", imds),
		TEXT("tpmSupport", tpm),
		TEXT("deprecationTime", deprecation),
		TEXT("lastLaunchedTime", last_launched),
		TEXT("deregistrationProtection", protection),
		TEXT("sourceImageId", source),
		TEXT("sourceImageRegion", source_region),
		TEXT("imageLocation", location),
#undef TEXT
	};

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		xmldoc_child_text(item, texts[i].name, texts[i].text, texts[i].size);
	xmldoc_child_text(xmldoc_child(item, "stateReason"), "message", out->reason, sizeof(out->reason));
	out->is_public = xmldoc_child_bool(item, "isPublic", false);
	out->ena = xmldoc_child_bool(item, "enaSupport", false);
	out->product_codes = xmldoc_child(xmldoc_child(item, "productCodes"), "item") != NULL;
	return read_lists(item, out, err);
}

static int image_page(void *arg, const struct xmldoc_node *root, struct error *err)
{
	const struct xmldoc_node *item = xmldoc_child(xmldoc_child(root, "imagesSet"), "item");
	struct ec2_image_list *list = arg;

	for (; item; item = xmldoc_next(item)) {
		struct ec2_image *items = realloc(list->items, (list->nr + 1) * sizeof(*items));

		if (!items)
			return error_nomem(err, "the list of images");
		list->items = items;
		/* Counted first: what a failure leaves in it is released with the list. */
		if (read_image(item, &items[list->nr++], err) < 0)
			return -1;
	}
	return 0;
}

static int images_query(const struct ec2_image_query *w, struct buf *q, struct error *err)
{
	if (ec2_query_begin(q, "DescribeImages", err) < 0 ||
	    ec2_query_add(q, err, w->owner, "Owner.1") < 0)
		return -1;
	for (size_t i = 0; w->ids && w->ids[i]; i++) {
		if (ec2_query_add(q, err, w->ids[i], "ImageId.%zu", i + 1) < 0)
			return -1;
	}
	for (size_t i = 0; i < w->nr_filters; i++) {
		if (ec2_query_add(q, err, w->filters[i].name, "Filter.%zu.Name", i + 1) < 0 ||
		    ec2_query_add(q, err, w->filters[i].value, "Filter.%zu.Value.1", i + 1) < 0)
			return -1;
	}
	/*
	 * The answer is whole without MaxResults, which older service models do not know here. But
	 * others' images are more than one answer can hold. With ids EC2 refuses it.
	 */
	if ((!w->owner || strcmp(w->owner, "self") != 0) && !(w->ids && w->ids[0]) &&
	    ec2_query_add(q, err, "1000", "MaxResults") < 0)
		return -1;
	if (ec2_query_add(q, err, w->deprecated ? "true" : NULL, "IncludeDeprecated") < 0)
		return -1;
	return ec2_query_add(q, err, w->disabled ? "true" : NULL, "IncludeDisabled");
}

int ec2_find_images(struct aws *a, const struct ec2_image_query *query, struct ec2_image_list *out,
	struct error *err)
{
	struct ec2_request req = {.action = "DescribeImages"};
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	memset(out, 0, sizeof(*out));
	if (query->ids && query->ids[0] && !query->ids[1])
		req.subject = query->ids[0];
	if (images_query(query, &q, err) < 0)
		return -1;
	if (ec2_pages(a, &req, &q, image_page, out, err) < 0) {
		ec2_image_list_release(out);
		return -1;
	}
	return 0;
}

int ec2_describe_images(struct aws *a, const char *const *ids, const struct ec2_filter *filters,
	size_t nr_filters, struct ec2_image_list *out, struct error *err)
{
	struct ec2_image_query query = {.owner = "self", .ids = ids, .filters = filters,
		.nr_filters = nr_filters};

	return ec2_find_images(a, &query, out, err);
}
