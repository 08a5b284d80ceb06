/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of snapshots alone. CopySnapshot has no client token, so the tag that goes with it is what
 * tells a copy that is there, also after a lost answer.
 */
#include "builder/copy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "uploader/ec2_copy.h"

enum { BEGIN_ATTEMPTS = 5, BEGIN_PAUSE_MS = 500 };

static bool fits(const struct copy *c, const struct copy_dest *d, const struct ec2_snapshot *s)
{
	struct error ignored;

	return strcmp(s->state, "error") && !copy_check_encryption(c, d, s->id, s->encrypted, s->kms_key,
						    &ignored);
}

/* A copy that failed is of no use to anybody; one that cannot be deleted is told. */
static int remove_failed(const struct copy *c, struct copy_dest *d, const struct ec2_snapshot *s,
	struct error *err)
{
	if (c->opts->dry_run)
		return 0;
	log_warn("%s: an earlier copy, %s, failed (%s): deleting it", d->region, s->id,
		s->message[0] ? s->message : "EC2 gives no reason");
	if (!ec2_delete_snapshot(d->aws, s->id, err))
		return 0;
	if (err->kind == ERROR_INTERRUPTED)
		return -1;
	log_warn("%s: %s stays: %s", d->region, s->id, err->text);
	error_clear(err);
	return 0;
}

/* Others, with another encryption, may stand beside it: snapshots have no names to quarrel about. */
static int find(struct copy *c, struct copy_dest *d, struct error *err)
{
	CLEANUP_FREE struct ec2_snapshot *list = NULL;
	size_t nr = 0;

	if (ec2_find_snapshots(d->aws, COPY_TAG, c->origin, &list, &nr, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		if (!strcmp(list[i].state, "error") && remove_failed(c, d, &list[i], err) < 0)
			return -1;
		if (d->existing || !fits(c, d, &list[i]))
			continue;
		snprintf(d->id, sizeof(d->id), "%s", list[i].id);
		d->existing = true;
	}
	return 0;
}

/*
 * After a failure that does not tell whether it was begun: looks for it, a while later, for EC2 may not
 * show it at once. 1 when it is there, 0 when another attempt makes no second one.
 */
static int look_again(struct copy *c, struct copy_dest *d, unsigned attempt, struct error *err)
{
	if (aws_sleep(d->aws, BEGIN_PAUSE_MS * attempt, err) < 0 || find(c, d, err) < 0)
		return -1;
	if (!d->existing)
		return 0;
	d->existing = false;
	return 1;
}

static int begin(struct copy *c, struct copy_dest *d, struct error *err)
{
	CLEANUP_FREE struct aws_tag *tags = NULL;
	struct aws *from = context_aws(c->ctx, err);
	struct ec2_copy_opts o = {
		.source = c->opts->source,
		.source_region = c->region,
		.description = c->description,
		.encrypt = d->encrypt,
		.kms_key = d->key[0] ? d->key : NULL,
		.dry_run = c->opts->dry_run,
	};
	struct error why = ERROR_INIT;

	if (!from || copy_make_tags(c, &c->tags, c->origin, &tags, &o.nr_tags, err) < 0)
		return -1;
	o.tags = tags;
	for (unsigned i = 1; ec2_copy_snapshot(d->aws, from, &o, d->id, &why) < 0; i++) {
		bool unknown = why.kind == ERROR_NETWORK || why.http_status >= 500;
		int found = unknown ? look_again(c, d, i, err) : 0;

		if (found)
			return found > 0 ? 0 : -1;
		if (!unknown || i == BEGIN_ATTEMPTS) {
			*err = why;
			return -1;
		}
	}
	return 0;
}

static int poll(struct copy *c, struct copy_dest *d, struct error *err)
{
	struct ec2_snapshot s;

	(void)c;
	if (ec2_describe_snapshot(d->aws, d->id, &s, err) < 0) {
		if (strcmp(err->code, "InvalidSnapshot.NotFound") ||
			context_now_ms() - d->begun_ms > 120000)
			return -1;
		error_clear(err);
		return 0;
	}
	if (!strcmp(s.state, "error"))
		return error_set(err, ERROR_SERVICE, 0, "%s: %s failed: %s", d->region, d->id,
			s.message[0] ? s.message : "EC2 gives no reason");
	d->percent = (unsigned)strtoul(s.progress, NULL, 10);
	if (strcmp(s.state, "completed"))
		return 0;
	d->percent = 100;
	d->encrypted = s.encrypted;
	d->state = COPY_DONE;
	return 0;
}

const struct copy_ops copy_snapshot_ops = {find, begin, poll};
