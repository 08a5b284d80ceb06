/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the EC2 files share. A call reads its parameters, then asks ec2_ready() – which refuses
 * parameters nobody asked for and answers DryRun – and only then changes something or writes its
 * answer.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_EC2_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_EC2_INTERNAL_H

#include "uploader/region/form.h"
#include "uploader/region/region_internal.h"
#include "uploader/region/xml.h"

enum { EC2_LIST_MAX = 200, EC2_FILTERS_MAX = 24, EC2_FILTER_VALUES_MAX = 50 };

struct ec2_ctx {
	struct region *region;
	struct form form;
	struct reply *reply;
	const char *action;
	struct xml xml;
};

/* "Name.1", "Name.2" …, borrowed from the form. */
struct ec2_list {
	const char *items[EC2_LIST_MAX];
	size_t nr;
};
void ec2_list_get(struct ec2_ctx *c, const char *name, struct ec2_list *list);

/* An error answer; always true, so that checks end with `return ec2_refuse(…)`. */
bool ec2_refuse(struct ec2_ctx *c, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool ec2_internal(struct ec2_ctx *c, const struct error *err);

/* These return true with an answer written when the call is over. */
bool ec2_ready(struct ec2_ctx *c);
/* *out stays when the parameter is absent. */
bool ec2_get_bool(struct ec2_ctx *c, const char *name, bool *out);
bool ec2_get_number(struct ec2_ctx *c, const char *name, uint64_t *out);
/* A required one; *out is borrowed. */
bool ec2_get_required(struct ec2_ctx *c, const char *name, const char **out);
bool ec2_check_id(struct ec2_ctx *c, const char *prefix, const char *malformed, const char *id);

/* <ActionResponse> with requestId; then the call's own; then its end. */
void ec2_begin(struct ec2_ctx *c);
void ec2_end(struct ec2_ctx *c);
/* Begin, <return>true</return>, end. */
void ec2_answer_true(struct ec2_ctx *c);

/* Filters: each has to match with one of its values; * and ? are wildcards, '\' quotes them. */
struct ec2_filters {
	struct {
		const char *name;
		const char *values[EC2_FILTER_VALUES_MAX];
		size_t nr;
	} items[EC2_FILTERS_MAX];
	size_t nr;
};
/* A filter that reads one field of a record. */
enum ec2_field_kind { EC2_FIELD_TEXT, EC2_FIELD_BOOL, EC2_FIELD_INT };
struct ec2_field {
	const char *filter, *key;
	enum ec2_field_kind kind;
};
bool ec2_get_filters(struct ec2_ctx *c, struct ec2_filters *filters);
bool ec2_wildcard(const char *pattern, const char *text);
/*
 * One record and its tags against all filters. fields is ended by a NULL filter; "tag:K",
 * "tag-key", "tag-value" work by themselves; "block-device-mapping.*" looks at the mapping.
 * *unknown gets a filter that none of these is; doc and tags may be NULL, to find just that.
 */
bool ec2_filters_match(const struct ec2_filters *filters, const struct ec2_field *fields,
	const struct json *doc, const struct json *tags, const char **unknown);

/* Paging: MaxResults and NextToken. */
struct ec2_page {
	uint64_t max;  /* UINT64_MAX without MaxResults */
	uint64_t last; /* number of the last id given; 0 at the start */
};
bool ec2_get_page(struct ec2_ctx *c, const char *prefix, uint64_t min, uint64_t max,
	struct ec2_page *page);
/* The number in an id: its last 16 hex digits. */
uint64_t ec2_id_number(const char *id);
/* <nextToken> for the page after last. */
void ec2_next_token(struct ec2_ctx *c, const char *prefix, uint64_t last);
/* Whether "self" or the account is among the owners (or none is named). */
bool ec2_owner_is_self(const struct ec2_ctx *c, const struct ec2_list *owners);

/* Tags of a record: [{Key, Value}] under "tags". */
void ec2_write_tags(struct ec2_ctx *c, const struct json *doc);
/* TagSpecification.N of one resource type, as a new array in *tags (NULL when none). */
bool ec2_get_tag_specification(struct ec2_ctx *c, const char *type, struct json **tags);

void ec2_call_register_image(struct ec2_ctx *c);
void ec2_call_describe_images(struct ec2_ctx *c);
void ec2_call_deregister_image(struct ec2_ctx *c);
void ec2_call_describe_snapshots(struct ec2_ctx *c);
void ec2_call_delete_snapshot(struct ec2_ctx *c);
void ec2_call_create_tags(struct ec2_ctx *c);
void ec2_call_delete_tags(struct ec2_ctx *c);
void ec2_call_describe_tags(struct ec2_ctx *c);

/* BlockDeviceMapping.N of RegisterImage as a new array; with store->lock held. */
bool ec2_get_mappings(struct ec2_ctx *c, const char *root_device, struct json **mappings);

#endif
