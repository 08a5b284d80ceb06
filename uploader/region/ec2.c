/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2's Query API: the table of actions, what all calls share in reading parameters and writing
 * XML, and the calls too small for a file.
 */
#include "uploader/region/ec2_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/copy.h"
#include "uploader/region/token.h"

static const char namespace[] = "http://ec2.amazonaws.com/doc/2016-11-15/";

bool ec2_refuse(struct ec2_ctx *c, const char *code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_ec2_error(c->reply, 400, code, "%s", text);
	return true;
}

bool ec2_internal(struct ec2_ctx *c, const struct error *err)
{
	reply_ec2_error(c->reply, 500, "InternalError", "%s", err->text);
	return true;
}

bool ec2_refuse_owner(struct ec2_ctx *c)
{
	reply_ec2_error(c->reply, 400, "AuthFailure", "Not authorized for this resource.");
	return true;
}

void ec2_list_get(struct ec2_ctx *c, const char *name, struct ec2_list *list)
{
	list->nr = 0;
	while (list->nr < EC2_LIST_MAX) {
		const char *value = form_getf(&c->form, "%s.%zu", name, list->nr + 1);

		if (!value)
			break;
		list->items[list->nr++] = value;
	}
}

bool ec2_get_bool(struct ec2_ctx *c, const char *name, bool *out)
{
	const char *text = form_get(&c->form, name);

	if (!text)
		return false;
	*out = strcmp(text, "true") == 0;
	if (*out || strcmp(text, "false") == 0)
		return false;
	return ec2_refuse(c, "InvalidParameterValue",
		"Invalid value '%.60s' for %s: true or false is right", text, name);
}

bool ec2_get_number(struct ec2_ctx *c, const char *name, uint64_t *out)
{
	const char *text = form_get(&c->form, name);

	if (!text || num_parse(text, INT32_MAX, out, NULL) == 0)
		return false;
	return ec2_refuse(c, "InvalidParameterValue", "Invalid value '%.60s' for %s: not a number",
		text, name);
}

bool ec2_get_required(struct ec2_ctx *c, const char *name, const char **out)
{
	*out = form_get(&c->form, name);
	if (*out && **out)
		return false;
	return ec2_refuse(c, "MissingParameter", "The request must contain the parameter %s", name);
}

bool ec2_check_id(struct ec2_ctx *c, const char *prefix, const char *malformed, const char *id)
{
	size_t len = strlen(prefix), digits;

	if (strncmp(id, prefix, len) == 0) {
		digits = strspn(id + len, "0123456789abcdef");
		if ((digits == 8 || digits == 17) && id[len + digits] == '\0')
			return false;
	}
	return ec2_refuse(c, malformed, "Invalid id: \"%.80s\"", id);
}

bool ec2_ready(struct ec2_ctx *c)
{
	bool dry = false;
	const char *unused;

	if (ec2_get_bool(c, "DryRun", &dry))
		return true;
	unused = form_unused(&c->form);
	if (unused)
		return ec2_refuse(c, "UnknownParameter", "The parameter %.100s is not recognized",
			unused);
	if (!dry)
		return false;
	reply_ec2_error(c->reply, 412, "DryRunOperation",
		"Request would have succeeded, but DryRun flag is set.");
	return true;
}

void ec2_begin(struct ec2_ctx *c)
{
	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, c->action, "Response", namespace);
	xml_str(&c->xml, "requestId", c->reply->request_id);
}

void ec2_end(struct ec2_ctx *c)
{
	char tag[80];

	(void)snprintf(tag, sizeof(tag), "%sResponse", c->action);
	xml_close(&c->xml, tag);
	c->reply->failed |= c->xml.failed;
}

void ec2_answer_true(struct ec2_ctx *c)
{
	ec2_begin(c);
	xml_bool(&c->xml, "return", true);
	ec2_end(c);
}

uint64_t ec2_id_number(const char *id)
{
	size_t len = strlen(id);
	uint8_t raw[8];
	uint64_t number = 0;

	if (len < 16 || hex_decode(raw, sizeof(raw), id + len - 16))
		return 0;
	for (size_t i = 0; i < sizeof(raw); i++)
		number = number << 8 | raw[i];
	return number;
}

bool ec2_get_page(struct ec2_ctx *c, const char *prefix, uint64_t min, uint64_t max,
	struct ec2_page *page)
{
	const char *token = form_get(&c->form, "NextToken");

	*page = (struct ec2_page){.max = UINT64_MAX};
	if (ec2_get_number(c, "MaxResults", &page->max))
		return true;
	if (page->max < min)
		return ec2_refuse(c, "InvalidParameterValue", "Expecting a value greater than %llu",
			(unsigned long long)min);
	if (page->max != UINT64_MAX)
		page->max = MIN(page->max, max);
	if (token && token_open(c->region->token_key, prefix, token, region_now(c->region), &page->last))
		return ec2_refuse(c, "InvalidPaginationToken", "The NextToken is not valid");
	return false;
}

void ec2_next_token(struct ec2_ctx *c, const char *prefix, uint64_t last)
{
	char token[TOKEN_SIZE];

	if (token_make(c->region->token_key, prefix, last, region_now(c->region) + TOKEN_PAGE_S, token,
		    NULL) < 0)
		c->reply->failed = true;
	else
		xml_str(&c->xml, "nextToken", token);
}

bool ec2_list_has(const struct ec2_list *list, const char *text)
{
	for (size_t i = 0; i < list->nr; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

bool ec2_listed(const struct ec2_list *list, const char *text)
{
	return list->nr == 0 || ec2_list_has(list, text);
}

bool ec2_owner_listed(const struct ec2_ctx *c, const struct ec2_list *owners, const char *owner)
{
	return ec2_listed(owners, owner) ||
	       (strcmp(owner, c->account) == 0 && ec2_listed(owners, "self"));
}

static const struct {
	const char *action;
	void (*call)(struct ec2_ctx *c);
} actions[] = {
	{"CopyImage", ec2_call_copy_image},
	{"CopySnapshot", ec2_call_copy_snapshot},
	{"CreateLaunchTemplate", ec2_call_create_launch_template},
	{"CreateTags", ec2_call_create_tags},
	{"DeleteLaunchTemplate", ec2_call_delete_launch_template},
	{"DeleteSnapshot", ec2_call_delete_snapshot},
	{"DeleteTags", ec2_call_delete_tags},
	{"DeregisterImage", ec2_call_deregister_image},
	{"DescribeAvailabilityZones", ec2_call_describe_zones},
	{"DescribeFastSnapshotRestores", ec2_call_describe_fast_restores},
	{"DescribeImageAttribute", ec2_call_describe_image_attribute},
	{"DescribeImages", ec2_call_describe_images},
	{"DescribeInstances", ec2_call_describe_instances},
	{"DescribeLaunchTemplateVersions", ec2_call_describe_launch_template_versions},
	{"DescribeRegions", ec2_call_describe_regions},
	{"DescribeSnapshotAttribute", ec2_call_describe_snapshot_attribute},
	{"DescribeSnapshots", ec2_call_describe_snapshots},
	{"DescribeTags", ec2_call_describe_tags},
	{"DisableEbsEncryptionByDefault", ec2_call_disable_encryption},
	{"DisableImage", ec2_call_disable_image},
	{"DisableImageBlockPublicAccess", ec2_call_disable_image_block},
	{"DisableImageDeprecation", ec2_call_disable_deprecation},
	{"DisableImageDeregistrationProtection", ec2_call_disable_protection},
	{"DisableSnapshotBlockPublicAccess", ec2_call_disable_snapshot_block},
	{"EnableEbsEncryptionByDefault", ec2_call_enable_encryption},
	{"EnableImage", ec2_call_enable_image},
	{"EnableImageBlockPublicAccess", ec2_call_enable_image_block},
	{"EnableImageDeprecation", ec2_call_enable_deprecation},
	{"EnableImageDeregistrationProtection", ec2_call_enable_protection},
	{"EnableSnapshotBlockPublicAccess", ec2_call_enable_snapshot_block},
	{"GetEbsDefaultKmsKeyId", ec2_call_get_default_key},
	{"GetEbsEncryptionByDefault", ec2_call_get_encryption},
	{"GetImageBlockPublicAccessState", ec2_call_get_image_block},
	{"GetSnapshotBlockPublicAccessState", ec2_call_get_snapshot_block},
	{"ModifyEbsDefaultKmsKeyId", ec2_call_modify_default_key},
	{"ModifyImageAttribute", ec2_call_modify_image_attribute},
	{"ModifySnapshotAttribute", ec2_call_modify_snapshot_attribute},
	{"RegisterImage", ec2_call_register_image},
	{"ResetEbsDefaultKmsKeyId", ec2_call_reset_default_key},
	{"ResetImageAttribute", ec2_call_reset_image_attribute},
	{"ResetSnapshotAttribute", ec2_call_reset_snapshot_attribute},
};

/* Images whose copying has ended by now, before a call looks at any. */
static bool settle(struct ec2_ctx *c)
{
	struct error err = ERROR_INIT;
	int ret;

	pthread_mutex_lock(&c->store->lock);
	ret = copy_settle_images(c->store, region_now(c->region), region_monotonic_ms(), &err);
	pthread_mutex_unlock(&c->store->lock);
	return ret < 0 && ec2_internal(c, &err);
}

static void dispatch(struct ec2_ctx *c)
{
	const char *action = form_get(&c->form, "Action");
	const char *version = form_get(&c->form, "Version");

	if (!action || !version) {
		ec2_refuse(c, "MissingAction", "The request must contain Action and Version");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(action, actions[i].action) == 0) {
			c->action = actions[i].action;
			if (!settle(c))
				actions[i].call(c);
			return;
		}
	}
	ec2_refuse(c, "InvalidAction", "The action %.100s is not valid for this web service.",
		action);
}

void ec2_api_handle(const struct scene *scene, const struct request *req, struct reply *reply)
{
	struct ec2_ctx c = {.region = scene->region, .store = scene->store,
		.account = scene->caller->account, .reply = reply, .form = FORM_INIT};
	struct error err = ERROR_INIT;

	reply->content_type = "text/xml;charset=UTF-8";
	if (strcmp(req->method, "POST") != 0 && strcmp(req->method, "GET") != 0)
		reply_ec2_error(reply, 405, "UnsupportedHttpVerb", "POST or GET is right");
	else if (form_parse(&c.form, req->query, strlen(req->query), &err) < 0 ||
		 form_parse(&c.form, req->body, req->body_len, &err) < 0)
		ec2_refuse(&c, "MalformedQueryString", "%s", err.text);
	else
		dispatch(&c);
	form_release(&c.form);
}
