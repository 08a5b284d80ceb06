/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the EC2 files share. A call reads its parameters, then asks ec2_ready() – which refuses
 * parameters nobody asked for and answers DryRun – and only then changes something or writes its
 * answer.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_EC2_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_EC2_INTERNAL_H

#include "uploader/region/access.h"
#include "uploader/region/form.h"
#include "uploader/region/region_internal.h"
#include "uploader/region/xml.h"

enum { EC2_LIST_MAX = 200, EC2_FILTERS_MAX = 24, EC2_FILTER_VALUES_MAX = 50 };

struct ec2_ctx {
	struct region *region;
	struct store *store;    /* of the Region that was signed for */
	const char *account;    /* who asks */
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
/* Ends at the first number that is missing, or when the list is full. */
void ec2_list_get(struct ec2_ctx *c, const char *name, struct ec2_list *list);

/* An error answer; always true, so that checks end with `return ec2_refuse(…)`. */
bool ec2_refuse(struct ec2_ctx *c, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool ec2_internal(struct ec2_ctx *c, const struct error *err);
/* What an account hears that may see a thing and tries to change it. */
bool ec2_refuse_owner(struct ec2_ctx *c);

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
/* Filter.N of the form, EC2_FILTERS_MAX at most. True with an answer for one without values. */
bool ec2_get_filters(struct ec2_ctx *c, struct ec2_filters *filters);
/* True with an answer when a filter is none of these. */
bool ec2_check_filters(struct ec2_ctx *c, const struct ec2_filters *filters,
	const struct ec2_field *fields);
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
/*
 * prefix: what the tokens are of. True with an answer for a MaxResults below min or a NextToken that is
 * none of ours; more than max is max.
 */
bool ec2_get_page(struct ec2_ctx *c, const char *prefix, uint64_t min, uint64_t max,
	struct ec2_page *page);
/* The number in an id: its last 16 hex digits. */
uint64_t ec2_id_number(const char *id);
/* <nextToken> for the page after last. */
void ec2_next_token(struct ec2_ctx *c, const char *prefix, uint64_t last);
/* Whether the owner (an account id, or "self" for the caller) is listed; true without a list. */
bool ec2_owner_listed(const struct ec2_ctx *c, const struct ec2_list *owners, const char *owner);
/* Whether the text is in the list. */
bool ec2_list_has(const struct ec2_list *list, const char *text);
/* The same, and true without a list. */
bool ec2_listed(const struct ec2_list *list, const char *text);

/* Tags of a record: [{Key, Value}] under "tags". For the owner: nobody else sees them. */
void ec2_write_tags(struct ec2_ctx *c, const struct json *doc);
/* TagSpecification.N of one resource type, as a new array in *tags (NULL when none). */
bool ec2_get_tag_specification(struct ec2_ctx *c, const char *type, struct json **tags);
/* The same of two resource types. Both are the caller's to free. */
bool ec2_get_tag_specifications(struct ec2_ctx *c, const char *type, struct json **tags,
	const char *type2, struct json **tags2);
/* Tags `more` (NULL: none) go over those of the record. */
int ec2_add_tags(struct json *doc, const struct json *more, struct error *err) MUST_CHECK;

/* Images: their names, and what a new one of the caller begins with. With store->lock held. */
bool ec2_check_image_name(struct ec2_ctx *c, const char *name);
bool ec2_check_name_free(struct ec2_ctx *c, const char *name);
int ec2_set_new_image(struct ec2_ctx *c, struct json *doc, const char *name, struct error *err)
	MUST_CHECK;

/* Permissions as lists of {"userId" | "group" | "organizationArn" | "organizationalUnitArn": text}. */
struct ec2_permission_kind {
	const char *structure; /* "LaunchPermission" */
	const char *bad_value; /* code for an account that cannot be one */
	bool organizations;
};
struct ec2_permission_changes {
	struct json *add, *remove;
};
/* Both forms of the parameters. Release in any case. */
bool ec2_get_permissions(struct ec2_ctx *c, const struct ec2_permission_kind *what,
	struct ec2_permission_changes *changes);
void ec2_permissions_release(struct ec2_permission_changes *changes);
/* A new list. */
struct json *ec2_permissions_apply(const struct json *old, const struct ec2_permission_changes *changes,
	struct error *err);
bool ec2_permissions_name_all(const struct json *list);
void ec2_write_permissions(struct ec2_ctx *c, const char *tag, const struct json *list);

/* With store->lock held: the caller's own; NULL with an answer otherwise. */
struct image *ec2_own_image(struct ec2_ctx *c, const char *id);
struct snapshot *ec2_own_snapshot(struct ec2_ctx *c, const char *id);
bool ec2_get_image_id(struct ec2_ctx *c, const char **id);
/* Refuses what its key forbids: sharing under the default key, making public under any. */
bool ec2_refuse_shared_key(struct ec2_ctx *c, const struct snapshot *snap, bool public);
/* Takes all launch permissions away; the record is not saved. */
int ec2_forget_sharing(struct image *image, struct error *err) MUST_CHECK;
bool ec2_image_is_protected(const struct ec2_ctx *c, const struct image *image);

/* One action each: checks its parameters and writes the reply, also when it refuses. */
void ec2_call_copy_image(struct ec2_ctx *c);
void ec2_call_copy_snapshot(struct ec2_ctx *c);
void ec2_call_modify_image_attribute(struct ec2_ctx *c);
void ec2_call_describe_image_attribute(struct ec2_ctx *c);
void ec2_call_reset_image_attribute(struct ec2_ctx *c);
void ec2_call_modify_snapshot_attribute(struct ec2_ctx *c);
void ec2_call_describe_snapshot_attribute(struct ec2_ctx *c);
void ec2_call_reset_snapshot_attribute(struct ec2_ctx *c);
void ec2_call_enable_deprecation(struct ec2_ctx *c);
void ec2_call_disable_deprecation(struct ec2_ctx *c);
void ec2_call_enable_protection(struct ec2_ctx *c);
void ec2_call_disable_protection(struct ec2_ctx *c);
void ec2_call_enable_image(struct ec2_ctx *c);
void ec2_call_disable_image(struct ec2_ctx *c);
void ec2_call_register_image(struct ec2_ctx *c);
void ec2_call_describe_images(struct ec2_ctx *c);
void ec2_call_deregister_image(struct ec2_ctx *c);
void ec2_call_describe_snapshots(struct ec2_ctx *c);
void ec2_call_delete_snapshot(struct ec2_ctx *c);
void ec2_call_create_tags(struct ec2_ctx *c);
void ec2_call_delete_tags(struct ec2_ctx *c);
void ec2_call_describe_tags(struct ec2_ctx *c);

void ec2_call_describe_regions(struct ec2_ctx *c);
void ec2_call_describe_zones(struct ec2_ctx *c);
void ec2_call_describe_instances(struct ec2_ctx *c);
void ec2_call_create_launch_template(struct ec2_ctx *c);
void ec2_call_delete_launch_template(struct ec2_ctx *c);
void ec2_call_describe_launch_template_versions(struct ec2_ctx *c);
void ec2_call_describe_fast_restores(struct ec2_ctx *c);
void ec2_call_get_default_key(struct ec2_ctx *c);
void ec2_call_modify_default_key(struct ec2_ctx *c);
void ec2_call_reset_default_key(struct ec2_ctx *c);
void ec2_call_get_encryption(struct ec2_ctx *c);
void ec2_call_enable_encryption(struct ec2_ctx *c);
void ec2_call_disable_encryption(struct ec2_ctx *c);
void ec2_call_get_image_block(struct ec2_ctx *c);
void ec2_call_enable_image_block(struct ec2_ctx *c);
void ec2_call_disable_image_block(struct ec2_ctx *c);
void ec2_call_get_snapshot_block(struct ec2_ctx *c);
void ec2_call_enable_snapshot_block(struct ec2_ctx *c);
void ec2_call_disable_snapshot_block(struct ec2_ctx *c);

/* BlockDeviceMapping.N of RegisterImage as a new array; with store->lock held. root_device NULL: it is none's. */
bool ec2_get_mappings(struct ec2_ctx *c, const char *root_device, struct json **mappings);

/*
 * ec2_bundle.c: the bundle that RegisterImage names, checked; root device, architecture and location go into the
 * record.
 */
bool ec2_take_bundle(struct ec2_ctx *c, const char *location, struct json *doc);

#endif
