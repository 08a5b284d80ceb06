/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows on the registration: copies, sharing, protection, deprecation. All of it is safe to
 * repeat; the journal's steps only save calls.
 */
#include "builder/publish_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/num.h"
#include "builder/copy.h"
#include "builder/share.h"
#include "uploader/ec2_retire.h"

/* EC2 wants a time to come, to the minute. */
enum { DAY = 86400, SOON = 120, FRESH_TRIES = 60, FRESH_PAUSE_MS = 2000 };

/* Copies that are asked for in one way go together, all at once. */
enum wish { AS_IS, ENCRYPTED, PLAIN, NR_WISHES };

static enum wish wish_of(const struct spec_copy *copy)
{
	if (copy->encrypt == 0)
		return PLAIN;
	return copy->encrypt > 0 && !copy->kms_key ? ENCRYPTED : AS_IS;
}

struct group {
	const char **regions;
	struct copy_key *keys;
	size_t nr, nr_keys;
};

static void gather(const struct publish *p, enum wish wish, struct group *g)
{
	g->nr = g->nr_keys = 0;
	for (size_t i = 1; i < p->nr_regions; i++) {
		const struct spec_copy *copy = p->regions[i].copy;

		if (wish_of(copy) != wish)
			continue;
		g->regions[g->nr++] = copy->region;
		if (copy->kms_key)
			g->keys[g->nr_keys++] = (struct copy_key){copy->region, copy->kms_key};
	}
}

static struct publish_region *region_of(struct publish *p, const char *name)
{
	for (size_t i = 1; i < p->nr_regions; i++)
		if (!strcmp(p->regions[i].name, name))
			return &p->regions[i];
	return NULL;
}

/* Before and after each CopyImage, so that a copy is known whatever becomes of this process. */
static int note_copy(void *arg, const char *region, const char *id, struct error *err)
{
	struct publish *p = arg;
	struct publish_made made = {PUBLISH_IMAGE, region, id, NULL};

	if (!*id)
		return publish_journal_intend(&p->journal, PUBLISH_IMAGE, region, err);
	return publish_journal_made(&p->journal, &made, err);
}

static int take_copies(struct publish *p, const struct copy *c, struct error *err)
{
	for (size_t i = 0; i < c->nr_dests; i++) {
		const struct copy_dest *d = &c->dests[i];
		struct publish_region *region = region_of(p, d->region);
		struct publish_made intent = {PUBLISH_IMAGE, d->region, "", NULL};

		if (region && d->id[0]) {
			snprintf(region->ami, sizeof(region->ami), "%s", d->id);
			region->existing = d->existing;
		} else if (publish_is_refusal(&d->error) &&
			   publish_journal_gone(&p->journal, &intent, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int copy_group(struct publish *p, enum wish wish, const struct group *g, struct error *err)
{
	struct copy_opts opts = {
		.source = p->regions[0].ami,
		.regions = g->regions,
		.nr_regions = g->nr,
		.keys = g->keys,
		.nr_keys = g->nr_keys,
		.encrypt = wish == ENCRYPTED,
		.plain = wish == PLAIN,
		.note = note_copy,
		.note_arg = p,
	};
	struct error why = ERROR_INIT;
	struct copy c = {0};
	int ret = copy_run(&c, p->ctx, &opts, err);

	if (take_copies(p, &c, &why) < 0 && !ret) {
		*err = why;
		ret = -1;
	}
	copy_release(&c);
	return ret;
}

int publish_copies(struct publish *p, struct error *err)
{
	CLEANUP_FREE const char **regions = calloc(p->nr_regions, sizeof(*regions));
	CLEANUP_FREE struct copy_key *keys = calloc(p->nr_regions, sizeof(*keys));
	struct group g = {regions, keys, 0, 0};
	uint64_t start = context_now_ms();

	if (!regions || !keys)
		return error_nomem(err, "the copies");
	if (p->nr_regions == 1)
		return 0;
	for (enum wish wish = AS_IS; wish < NR_WISHES; wish++) {
		gather(p, wish, &g);
		if (g.nr && copy_group(p, wish, &g, err) < 0)
			return -1;
	}
	report_time(&p->build->times, "copy", context_now_ms() - start);
	return 0;
}

static int add_receivers(const struct spec_strings *list, enum ec2_grantee kind,
	struct ec2_permission *with, size_t *nr, struct error *err)
{
	for (size_t i = 0; i < list->nr; i++)
		if (share_add(kind, list->items[i], with, nr, err) < 0)
			return -1;
	return 0;
}

static int receivers(const struct spec_share *s, struct ec2_permission **with, size_t *nr,
	struct error *err)
{
	*nr = 0;
	*with = calloc(s->accounts.nr + s->organizations.nr + s->units.nr + 1, sizeof(**with));
	if (!*with)
		return error_nomem(err, "permissions");
	if (add_receivers(&s->accounts, EC2_ACCOUNT, *with, nr, err) < 0 ||
		add_receivers(&s->organizations, EC2_ORGANIZATION, *with, nr, err) < 0 ||
		add_receivers(&s->units, EC2_UNIT, *with, nr, err) < 0)
		return -1;
	return s->everyone ? share_add(EC2_GROUP, "all", *with, nr, err) : 0;
}

static int share_in(struct publish *p, const struct publish_region *region,
	const struct ec2_permission *with, size_t nr, struct error *err)
{
	struct share_opts opts = {.ami = region->ami, .with = with, .nr = nr};
	struct aws *aws = context_aws_in(p->ctx, region->name, err);
	struct share share = {0};
	int ret = aws ? share_run(&share, aws, &opts, err) : -1;

	share_release(&share);
	if (ret < 0)
		return error_wrap(err, "sharing %s in %s", region->ami, region->name);
	log_info("%s in %s is shared as the spec says", region->ami, region->name);
	return 0;
}

/* The digest of who shall have it: a step that was done for others is not done. */
static int share_wishes(const struct ec2_permission *with, size_t nr, char out[SHA256_HEX_SIZE],
	struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	uint8_t digest[SHA256_SIZE];

	for (size_t i = 0; i < nr; i++)
		if (buf_addf(&text, err, "%d %s\n", (int)with[i].kind, with[i].value) < 0)
			return -1;
	if (sha256(text.data, text.len, digest, err) < 0)
		return -1;
	hex_encode(out, digest, sizeof(digest));
	return 0;
}

int publish_shares(struct publish *p, struct error *err)
{
	CLEANUP_FREE struct ec2_permission *with = NULL;
	char wishes[SHA256_HEX_SIZE];
	size_t nr;

	if (receivers(&p->build->spec.ami.share, &with, &nr, err) < 0 ||
		share_wishes(with, nr, wishes, err) < 0)
		return -1;
	for (size_t i = 0; i < p->nr_regions && nr; i++) {
		const struct publish_region *region = &p->regions[i];

		if (publish_journal_is_done(&p->journal, "share", wishes, region->ami))
			continue;
		if (share_in(p, region, with, nr, err) < 0 ||
			publish_journal_done(&p->journal, "share", wishes, region->ami, err) < 0)
			return -1;
	}
	return 0;
}

/* As EC2 writes it, so that texts compare. */
static void format_time(int64_t at, char out[32])
{
	time_t when = (time_t)(at - at % 60);
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
}

/* One that is deprecated earlier, or was by somebody's hand, stays so. */
static int deprecate(struct aws *aws, const struct ec2_image *image, int64_t at, struct error *err)
{
	char text[32];

	format_time(at, text);
	if (image->deprecation[0] && strcmp(image->deprecation, text) <= 0)
		return 0;
	if (ec2_deprecate_image(aws, image->id, at, false, err) < 0)
		return -1;
	log_info("%s (%s) is deprecated from %.16sZ on", image->id, image->name, text);
	return 0;
}

/* Seconds since 1970 of EC2's time; now when it cannot be read. */
static int64_t time_of(const char *text, int64_t now)
{
	struct tm tm = {0};

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : now;
}

static int retire_new(struct publish *p, struct aws *aws, const struct ec2_image *image,
	struct error *err)
{
	const struct spec *s = &p->build->spec;
	int64_t now = context_wall_s(), at;

	if (s->ami.protect && strncmp(image->protection, "enabled", 7) &&
		ec2_protect_image(aws, image->id, true, false, false, err) < 0)
		return -1;
	if (!s->ami.deprecate_days || image->deprecation[0])
		return 0;
	at = time_of(image->creation_date, now) + (int64_t)s->ami.deprecate_days * DAY;
	return deprecate(aws, image, MAX(at, now + SOON), err);
}

/* Those that were made before it: a repeat of an old publication leaves its successors alone. */
static int retire_old(struct publish *p, struct aws *aws, const struct ec2_image *image,
	struct error *err)
{
	const struct spec *s = &p->build->spec;
	struct ec2_filter filters[] = {
		{"tag:" PUBLISH_NAME_TAG, s->name}, {"architecture", s->architecture}};
	int64_t at = context_wall_s() + (int64_t)s->ami.deprecate_old_days * DAY + SOON;
	struct ec2_image_list list = {0};
	int ret = ec2_describe_images(aws, NULL, filters, 2, &list, err);

	for (size_t i = 0; i < list.nr && !ret; i++)
		if (strcmp(list.items[i].id, image->id) &&
			strcmp(list.items[i].creation_date, image->creation_date) < 0)
			ret = deprecate(aws, &list.items[i], at, err);
	ec2_image_list_release(&list);
	return ret;
}

/* A new id may stay unknown for a while. list has the image, or is empty on error. */
static int await_image(struct aws *aws, const char *id, struct ec2_image_list *list, struct error *err)
{
	const char *ids[] = {id, NULL};

	for (unsigned i = 0; i < FRESH_TRIES; i++) {
		if (i && aws_sleep(aws, FRESH_PAUSE_MS, err) < 0)
			return -1;
		error_clear(err);
		if (!ec2_describe_images(aws, ids, NULL, 0, list, err) && list->nr)
			return 0;
		if (err->kind != ERROR_NONE && strcmp(err->code, "InvalidAMIID.NotFound"))
			return -1;
		ec2_image_list_release(list);
	}
	return error_set(err, ERROR_SERVICE, 0, "%s is not to be seen yet", id);
}

static int retire_in(struct publish *p, const struct publish_region *region, struct error *err)
{
	struct aws *aws = context_aws_in(p->ctx, region->name, err);
	struct ec2_image_list list = {0};
	int ret = aws ? await_image(aws, region->ami, &list, err) : -1;

	if (!ret)
		ret = retire_new(p, aws, &list.items[0], err);
	if (!ret && p->build->spec.ami.deprecate_old)
		ret = retire_old(p, aws, &list.items[0], err);
	ec2_image_list_release(&list);
	return ret < 0 ? error_wrap(err, "retiring in %s", region->name) : 0;
}

int publish_retire(struct publish *p, struct error *err)
{
	const struct spec *s = &p->build->spec;

	if (!s->ami.protect && !s->ami.deprecate_days && !s->ami.deprecate_old)
		return 0;
	for (size_t i = 0; i < p->nr_regions; i++)
		if (retire_in(p, &p->regions[i], err) < 0)
			return -1;
	return 0;
}
