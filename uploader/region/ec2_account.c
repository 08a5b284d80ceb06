/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2: what is about the account and the Region – Regions and zones, and the switches of
 * encryption by default and of block public access.
 */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/keys.h"
#include "uploader/region/settings.h"

/* Filters of the two lists, over records made for each item. */
static const struct ec2_field region_fields[] = {
	{"region-name", "regionName", EC2_FIELD_TEXT},
	{"endpoint", "regionEndpoint", EC2_FIELD_TEXT},
	{"opt-in-status", "optInStatus", EC2_FIELD_TEXT},
	{NULL, NULL, EC2_FIELD_TEXT},
};

static const struct ec2_field zone_fields[] = {
	{"zone-name", "zoneName", EC2_FIELD_TEXT},
	{"zone-id", "zoneId", EC2_FIELD_TEXT},
	{"region-name", "regionName", EC2_FIELD_TEXT},
	{"state", "zoneState", EC2_FIELD_TEXT},
	{"zone-type", "zoneType", EC2_FIELD_TEXT},
	{"opt-in-status", "optInStatus", EC2_FIELD_TEXT},
	{NULL, NULL, EC2_FIELD_TEXT},
};

bool ec2_check_filters(struct ec2_ctx *c, const struct ec2_filters *filters,
	const struct ec2_field *fields)
{
	const char *unknown = NULL;

	(void)ec2_filters_match(filters, fields, NULL, NULL, &unknown);
	return unknown && ec2_refuse(c, "InvalidParameterValue", "The filter '%.80s' is invalid",
				  unknown);
}

static struct json *region_record(const struct ec2_ctx *c, const char *name, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);

	if (!doc || json_set_str(doc, "regionName", name, err) < 0 ||
	    json_set_str(doc, "regionEndpoint", c->region->endpoint, err) < 0 ||
	    json_set_str(doc, "optInStatus",
		    region_name_opt_in(name) ? "opted-in" : "opt-in-not-required", err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

/* One item of a list: the record's texts as they are. */
static void write_record(struct ec2_ctx *c, const struct json *doc)
{
	struct json *value;

	xml_open(&c->xml, "item");
	for (const char *key = json_next_key(doc, NULL, &value); key;
		key = json_next_key(doc, key, &value))
		xml_str(&c->xml, key, json_text(value, ""));
	xml_close(&c->xml, "item");
}

/* All names that are asked for must be there. */
static bool check_region_names(struct ec2_ctx *c, const struct ec2_list *names)
{
	for (size_t i = 0; i < names->nr; i++)
		if (!region_name_known(names->items[i]))
			return ec2_refuse(c, "InvalidParameterValue", "Invalid region names: [%.60s]",
				names->items[i]);
	return false;
}

void ec2_call_describe_regions(struct ec2_ctx *c)
{
	const char *partition = region_name_partition(c->store->name);
	struct ec2_filters filters;
	struct ec2_list names;
	bool all = false;

	ec2_list_get(c, "RegionName", &names);
	if (ec2_get_bool(c, "AllRegions", &all) || ec2_get_filters(c, &filters) ||
	    check_region_names(c, &names) || ec2_check_filters(c, &filters, region_fields) ||
	    ec2_ready(c))
		return;
	ec2_begin(c);
	xml_open(&c->xml, "regionInfo");
	for (size_t i = 0; region_name_at(i); i++) {
		CLEANUP(json_cleanup) struct json *doc = region_record(c, region_name_at(i), NULL);
		const char *unknown;

		if (!doc)
			c->reply->failed = true;
		else if (strcmp(region_name_partition(region_name_at(i)), partition) == 0 &&
			 ec2_listed(&names, region_name_at(i)) &&
			 ec2_filters_match(&filters, region_fields, doc, NULL, &unknown))
			write_record(c, doc);
	}
	xml_close(&c->xml, "regionInfo");
	ec2_end(c);
}

static struct json *zone_record(const struct ec2_ctx *c, char letter, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP_FREE char *name = buf_strf(err, "%s%c", c->store->name, letter);
	CLEANUP_FREE char *id = buf_strf(err, "%s-az%d", c->store->name, letter - 'a' + 1);

	if (!doc || !name || !id || json_set_str(doc, "zoneName", name, err) < 0 ||
	    json_set_str(doc, "zoneId", id, err) < 0 ||
	    json_set_str(doc, "zoneState", "available", err) < 0 ||
	    json_set_str(doc, "zoneType", "availability-zone", err) < 0 ||
	    json_set_str(doc, "regionName", c->store->name, err) < 0 ||
	    json_set_str(doc, "groupName", c->store->name, err) < 0 ||
	    json_set_str(doc, "networkBorderGroup", c->store->name, err) < 0 ||
	    json_set_str(doc, "optInStatus", "opt-in-not-required", err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

/* Every Region here has three zones. */
void ec2_call_describe_zones(struct ec2_ctx *c)
{
	struct ec2_filters filters;
	struct ec2_list names, ids;
	bool all = false;

	ec2_list_get(c, "ZoneName", &names);
	ec2_list_get(c, "ZoneId", &ids);
	if (ec2_get_bool(c, "AllAvailabilityZones", &all) || ec2_get_filters(c, &filters) ||
	    ec2_check_filters(c, &filters, zone_fields) || ec2_ready(c))
		return;
	ec2_begin(c);
	xml_open(&c->xml, "availabilityZoneInfo");
	for (char letter = 'a'; letter <= 'c'; letter++) {
		CLEANUP(json_cleanup) struct json *doc = zone_record(c, letter, NULL);
		const char *unknown;

		if (!doc)
			c->reply->failed = true;
		else if (ec2_listed(&names, json_get_str(doc, "zoneName", "")) &&
			 ec2_listed(&ids, json_get_str(doc, "zoneId", "")) &&
			 ec2_filters_match(&filters, zone_fields, doc, NULL, &unknown))
			write_record(c, doc);
	}
	xml_close(&c->xml, "availabilityZoneInfo");
	ec2_end(c);
}

/* This region runs no instances. */
void ec2_call_describe_instances(struct ec2_ctx *c)
{
	struct ec2_filters filters;
	struct ec2_list ids;
	struct ec2_page page;

	ec2_list_get(c, "InstanceId", &ids);
	if (ec2_get_filters(c, &filters) || ec2_get_page(c, "instances", 5, 1000, &page) || ec2_ready(c))
		return;
	if (ids.nr > 0) {
		ec2_refuse(c, "InvalidInstanceID.NotFound", "The instance ID '%.60s' does not exist",
			ids.items[0]);
		return;
	}
	ec2_begin(c);
	xml_empty(&c->xml, "reservationSet");
	ec2_end(c);
}

/* Nor does it restore snapshots fast. */
void ec2_call_describe_fast_restores(struct ec2_ctx *c)
{
	struct ec2_filters filters;
	struct ec2_page page;

	if (ec2_get_filters(c, &filters) || ec2_get_page(c, "restores", 0, 200, &page) || ec2_ready(c))
		return;
	ec2_begin(c);
	xml_empty(&c->xml, "fastSnapshotRestoreSet");
	ec2_end(c);
}

/* Sets one setting of the caller; true with an answer when that failed. */
static bool change_setting(struct ec2_ctx *c, const char *key, const char *value)
{
	struct error err = ERROR_INIT;
	int ret;

	pthread_mutex_lock(&c->store->lock);
	ret = settings_set(c->store, c->account, key, value, &err);
	pthread_mutex_unlock(&c->store->lock);
	return ret < 0 && ec2_internal(c, &err);
}

/* A setting's value, or fallback, as the call's one element. */
static void answer_setting(struct ec2_ctx *c, const char *key, const char *element,
	const char *fallback, const char *managed_by)
{
	const char *value;

	ec2_begin(c);
	pthread_mutex_lock(&c->store->lock);
	value = settings_get(c->store, c->account, key);
	xml_str(&c->xml, element, value ? value : fallback);
	pthread_mutex_unlock(&c->store->lock);
	xml_str(&c->xml, "managedBy", managed_by);
	ec2_end(c);
}

void ec2_call_get_encryption(struct ec2_ctx *c)
{
	bool on;

	if (ec2_ready(c))
		return;
	pthread_mutex_lock(&c->store->lock);
	on = settings_get(c->store, c->account, SETTING_ENCRYPTION) != NULL;
	pthread_mutex_unlock(&c->store->lock);
	ec2_begin(c);
	xml_bool(&c->xml, "ebsEncryptionByDefault", on);
	xml_str(&c->xml, "sseType", on ? "sse-kms" : "none");
	ec2_end(c);
}

void ec2_call_enable_encryption(struct ec2_ctx *c)
{
	if (!ec2_ready(c) && !change_setting(c, SETTING_ENCRYPTION, "true"))
		answer_setting(c, SETTING_ENCRYPTION, "ebsEncryptionByDefault", "false", NULL);
}

void ec2_call_disable_encryption(struct ec2_ctx *c)
{
	if (!ec2_ready(c) && !change_setting(c, SETTING_ENCRYPTION, NULL))
		answer_setting(c, SETTING_ENCRYPTION, "ebsEncryptionByDefault", "false", NULL);
}

void ec2_call_get_image_block(struct ec2_ctx *c)
{
	if (!ec2_ready(c))
		answer_setting(c, SETTING_IMAGE_BLOCK, "imageBlockPublicAccessState", "unblocked",
			"account");
}

void ec2_call_enable_image_block(struct ec2_ctx *c)
{
	const char *state;

	if (ec2_get_required(c, "ImageBlockPublicAccessState", &state) || ec2_ready(c))
		return;
	if (strcmp(state, "block-new-sharing") != 0)
		ec2_refuse(c, "InvalidParameterValue",
			"Value (%.60s) for parameter ImageBlockPublicAccessState is invalid.", state);
	else if (!change_setting(c, SETTING_IMAGE_BLOCK, state))
		answer_setting(c, SETTING_IMAGE_BLOCK, "imageBlockPublicAccessState", "unblocked", NULL);
}

void ec2_call_disable_image_block(struct ec2_ctx *c)
{
	if (!ec2_ready(c) && !change_setting(c, SETTING_IMAGE_BLOCK, NULL))
		answer_setting(c, SETTING_IMAGE_BLOCK, "imageBlockPublicAccessState", "unblocked", NULL);
}

void ec2_call_get_snapshot_block(struct ec2_ctx *c)
{
	if (!ec2_ready(c))
		answer_setting(c, SETTING_SNAPSHOT_BLOCK, "state", "unblocked", "account");
}

void ec2_call_enable_snapshot_block(struct ec2_ctx *c)
{
	const char *state;

	if (ec2_get_required(c, "State", &state) || ec2_ready(c))
		return;
	if (strcmp(state, "block-new-sharing") != 0 && strcmp(state, "block-all-sharing") != 0)
		ec2_refuse(c, "InvalidParameterValue", "Value (%.60s) for parameter State is invalid.",
			state);
	else if (!change_setting(c, SETTING_SNAPSHOT_BLOCK, state))
		answer_setting(c, SETTING_SNAPSHOT_BLOCK, "state", "unblocked", NULL);
}

void ec2_call_disable_snapshot_block(struct ec2_ctx *c)
{
	if (!ec2_ready(c) && !change_setting(c, SETTING_SNAPSHOT_BLOCK, NULL))
		answer_setting(c, SETTING_SNAPSHOT_BLOCK, "state", "unblocked", NULL);
}

/* The default key of encrypted volumes, as the account chose it. */
static void answer_default_key(struct ec2_ctx *c)
{
	const char *value;

	pthread_mutex_lock(&c->store->lock);
	value = settings_get(c->store, c->account, SETTING_DEFAULT_KEY);
	ec2_begin(c);
	xml_str(&c->xml, "kmsKeyId", value ? value : "alias/aws/ebs");
	ec2_end(c);
	pthread_mutex_unlock(&c->store->lock);
}

void ec2_call_get_default_key(struct ec2_ctx *c)
{
	if (!ec2_ready(c))
		answer_default_key(c);
}

void ec2_call_modify_default_key(struct ec2_ctx *c)
{
	char arn[KEY_ARN_SIZE];
	const char *text;
	bool unknown;

	if (ec2_get_required(c, "KmsKeyId", &text) || ec2_ready(c))
		return;
	pthread_mutex_lock(&c->store->lock);
	unknown = keys_resolve(c->store, c->account, text, arn) ||
		  !keys_usable(c->store, c->account, arn);
	pthread_mutex_unlock(&c->store->lock);
	if (unknown)
		ec2_refuse(c, "InvalidKmsKeyId.NotFound", "The key '%.120s' is not accessible", text);
	else if (!change_setting(c, SETTING_DEFAULT_KEY, arn))
		answer_default_key(c);
}

void ec2_call_reset_default_key(struct ec2_ctx *c)
{
	if (!ec2_ready(c) && !change_setting(c, SETTING_DEFAULT_KEY, NULL))
		answer_default_key(c);
}
