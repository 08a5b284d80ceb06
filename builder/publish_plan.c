/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a publication would do: the image's plan, which calls it would make, what the EBS direct APIs
 * would cost, and what EC2's rules say. One document, which is turned into text.
 */
#include "builder/publish_internal.h"

#include <stdio.h>
#include <string.h>

/* USD for 1000 PutSnapshotBlock calls, the figure of the Amazon EBS User Guide's examples. */
static const double put_price = 0.006;

static const char *key_name(const struct publish_region *r)
{
	if (!r->judged)
		return NULL;
	switch (r->key) {
	case EC2_COPY_PLAIN:
		return "not encrypted";
	case EC2_COPY_DEFAULT_KEY:
		return "encrypted, the account's default key";
	case EC2_COPY_SAME_KEY:
		return "encrypted, the same key";
	case EC2_COPY_GIVEN_KEY:
		return "encrypted, the key given";
	case EC2_COPY_REFUSED:
		break;
	}
	return "refused";
}

static int add_call(struct json *calls, const char *name, uint64_t nr, struct error *err)
{
	CLEANUP(json_cleanup) struct json *call = NULL;

	if (!nr)
		return 0;
	call = json_new_object(err);
	if (!call || json_set_str(call, "operation", name, err) < 0 ||
		json_set_int(call, "count", (int64_t)nr, err) < 0)
		return -1;
	return json_append(calls, steal_ptr(&call), err);
}

/* Snapshots that are not there yet, and their blocks. */
static int count_uploads(const struct publish *p, uint64_t *snapshots, uint64_t *blocks,
	struct error *err)
{
	*snapshots = *blocks = 0;
	for (size_t i = 0; i < p->build->plan.nr_disks && !p->existing; i++) {
		uint64_t nr;

		if (!plan_has_content(&p->build->plan.disks[i]) || p->disks[i].snapshot[0])
			continue;
		if (publish_count_blocks(p, i, &nr, err) < 0)
			return -1;
		*snapshots += 1;
		*blocks += nr;
	}
	return 0;
}

/* Those that change something; what is only looked at costs nothing. */
static struct json *calls_json(const struct publish *p, uint64_t snapshots, uint64_t blocks,
	struct error *err)
{
	const struct spec *s = &p->build->spec;
	const struct spec_share *share = &s->ami.share;
	bool shared = share->accounts.nr || share->organizations.nr || share->units.nr || share->everyone;
	CLEANUP(json_cleanup) struct json *calls = json_new_array(err);
	size_t content = 0;

	for (size_t i = 0; i < p->build->plan.nr_disks; i++)
		content += plan_has_content(&p->build->plan.disks[i]);
	if (!calls || add_call(calls, "StartSnapshot", snapshots, err) < 0 ||
		add_call(calls, "PutSnapshotBlock", blocks, err) < 0 ||
		add_call(calls, "CompleteSnapshot", snapshots, err) < 0 ||
		add_call(calls, "RegisterImage", !p->existing, err) < 0 ||
		add_call(calls, "CopyImage", p->nr_regions - 1, err) < 0 ||
		add_call(calls, "ModifyImageAttribute", shared ? p->nr_regions : 0, err) < 0 ||
		add_call(calls, "ModifySnapshotAttribute",
			share->accounts.nr || share->everyone ? p->nr_regions * content : 0, err) < 0 ||
		add_call(calls, "EnableImageDeregistrationProtection", s->ami.protect ? p->nr_regions : 0,
			err) < 0 ||
		add_call(calls, "EnableImageDeprecation", s->ami.deprecate_days ? p->nr_regions : 0,
			err) < 0)
		return NULL;
	return steal_ptr(&calls);
}

static struct json *regions_json(const struct publish *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!list)
		return NULL;
	for (size_t i = 0; i < p->nr_regions; i++) {
		const struct publish_region *r = &p->regions[i];
		CLEANUP(json_cleanup) struct json *item = json_new_object(err);

		if (!item || json_set_str(item, "region", r->name, err) < 0 ||
			json_set_str(item, "does", r->copy ? "copy" : "register", err) < 0 ||
			json_set_str(item, "encryption", key_name(r), err) < 0 ||
			json_set_str(item, "kms_key", r->kms_key[0] ? r->kms_key : NULL, err) < 0 ||
			json_append(list, steal_ptr(&item), err) < 0)
			return NULL;
	}
	return steal_ptr(&list);
}

static int planned_mapping(const struct publish *p, struct ec2_mapping **mappings, struct error *err)
{
	const struct spec *s = &p->build->spec;
	CLEANUP_FREE const char **ids = calloc(s->nr_disks + 1, sizeof(*ids));

	if (!ids)
		return error_nomem(err, "the block device mapping");
	for (size_t i = 0; i < s->nr_disks; i++)
		ids[i] = p->disks[i].snapshot[0] ? p->disks[i].snapshot : "(new)";
	return plan_mappings(s, ids, mappings, err);
}

struct json *publish_plan_json(struct publish *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = report_plan_json(&p->build->plan, err);
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	uint64_t snapshots, blocks;
	char cost[32];

	if (!doc || planned_mapping(p, &mappings, err) < 0 ||
		count_uploads(p, &snapshots, &blocks, err) < 0)
		return NULL;
	snprintf(cost, sizeof(cost), "%.4f", (double)blocks * put_price / 1000);
	if (json_set(doc, "mapping", report_mapping_json(mappings, p->build->spec.nr_disks, err), err) < 0 ||
		json_set_str(doc, "existing", p->existing ? p->regions[0].ami : NULL, err) < 0 ||
		json_set(doc, "regions", regions_json(p, err), err) < 0 ||
		json_set(doc, "calls", calls_json(p, snapshots, blocks, err), err) < 0 ||
		json_set_int(doc, "upload_bytes", (int64_t)(blocks * EBS_BLOCK_SIZE), err) < 0 ||
		json_set_str(doc, "estimated_usd", cost, err) < 0)
		return NULL;
	return steal_ptr(&doc);
}

static int add_regions_text(const struct json *regions, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < json_length(regions); i++) {
		const struct json *r = json_at(regions, i);
		const char *encryption = json_get_str(r, "encryption", NULL);

		if (buf_addf(out, err, "%s in %s%s%s%s%s\n", json_get_str(r, "does", ""),
			    json_get_str(r, "region", ""), encryption ? ": " : "",
			    encryption ? encryption : "", json_get_str(r, "kms_key", NULL) ? " " : "",
			    json_get_str(r, "kms_key", "")) < 0)
			return -1;
	}
	return 0;
}

static int add_calls_text(const struct json *doc, struct buf *out, struct error *err)
{
	const struct json *calls = json_get(doc, "calls");

	for (size_t i = 0; i < json_length(calls); i++)
		if (buf_addf(out, err, "%s%lld %s", i ? ", " : "calls: ",
			    (long long)json_get_int(json_at(calls, i), "count", 0),
			    json_get_str(json_at(calls, i), "operation", "")) < 0)
			return -1;
	if (!json_length(calls))
		return buf_add_str(out, "calls: none that change something\n", err);
	return buf_addf(out, err, "\nthe puts cost about %s USD (0.006 for 1000, as in AWS's examples); "
				  "keeping snapshots and copying between regions is charged besides\n",
		json_get_str(doc, "estimated_usd", "0"));
}

int publish_plan_text(struct publish *p, struct buf *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = publish_plan_json(p, err);
	CLEANUP_FREE struct ec2_mapping *mappings = NULL;
	const struct json *disks = doc ? json_get(doc, "disks") : NULL;

	if (!doc || planned_mapping(p, &mappings, err) < 0 ||
		(p->existing ? buf_addf(out, err, "%s is %s already\n", p->name, p->regions[0].ami) :
			       buf_addf(out, err, "would register %s\n", p->name)) < 0)
		return -1;
	for (size_t i = 0; i < json_length(disks); i++)
		if (report_disk_text(json_at(disks, i), out, err) < 0)
			return -1;
	if (buf_add_str(out, "block device mapping:\n", err) < 0 ||
		report_mapping_text(mappings, p->build->spec.nr_disks, out, err) < 0)
		return -1;
	return add_regions_text(json_get(doc, "regions"), out, err) < 0 ? -1 :
		add_calls_text(doc, out, err);
}
