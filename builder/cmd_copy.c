/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright copy`: an AMI or a snapshot into other regions. */
#include "builder/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "builder/command_tags.h"
#include "builder/copy.h"
#include "builder/spec.h"

struct copy_options {
	struct options_list to, keys, tags;
	const char *name, *description;
	uint64_t timeout;
	bool encrypt, plain, no_tags, no_wait, dry_run;
};

#define FIELD(field) offsetof(struct copy_options, field)

static const struct options_def options[] = {
	{"to", 0, OPTIONS_LIST, FIELD(to), "REGION", "where to (required); may be given many times", 0, 0,
		NULL},
	{"name", 0, OPTIONS_TEXT, FIELD(name), "NAME", "the copies' name (default: the AMI's own)", 0, 0,
		NULL},
	{"description", 'd', OPTIONS_TEXT, FIELD(description), "TEXT",
		"the copies' description (default: the source's)", 0, 0, NULL},
	{"encrypt", 0, OPTIONS_FLAG, FIELD(encrypt), NULL,
		"encrypt what is not, with the default key of each region", 0, 0, NULL},
	{"no-encrypt", 0, OPTIONS_FLAG, FIELD(plain), NULL,
		"refuse unless all copies will be unencrypted", 0, 0, NULL},
	{"kms-key", 0, OPTIONS_LIST, FIELD(keys), "[REGION=]KEY",
		"encrypt with this key (of that region); may be given many times", 0, 0, NULL},
	{"tag", 0, OPTIONS_LIST, FIELD(tags), "KEY=VALUE",
		"a tag beside the source's; may be given many times", 0, 0, NULL},
	{"no-tags", 0, OPTIONS_FLAG, FIELD(no_tags), NULL, "leave the source's tags behind", 0, 0, NULL},
	{"timeout", 0, OPTIONS_NUMBER, FIELD(timeout), "MINUTES",
		"stop waiting after this time (default: 240); the copies go on", 1, 100000, NULL},
	{"no-wait", 0, OPTIONS_FLAG, FIELD(no_wait), NULL, "begin the copies, do not wait for them", 0, 0,
		NULL},
	{"dry-run", 'n', OPTIONS_FLAG, FIELD(dry_run), NULL,
		"check all that can be checked, ask EC2 whether it may be done, copy nothing", 0, 0, NULL},
	{0},
};

static struct json *dest_json(const struct copy *c, const struct copy_dest *d, struct error *err)
{
	static const char *const states[] = {"to-begin", "pending", "done", "failed"};
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);

	if (!out || json_set_str(out, "region", d->region, err) < 0 ||
		json_set_str(out, c->image ? "ami" : "snapshot", d->id[0] ? d->id : NULL, err) < 0 ||
		json_set_str(out, "state", states[d->state], err) < 0 ||
		json_set_bool(out, "existing", d->existing, err) < 0 ||
		(d->state == COPY_DONE && json_set_bool(out, "encrypted", d->encrypted, err) < 0) ||
		(d->state == COPY_FAILED && json_set_str(out, "error", d->error.text, err) < 0))
		return NULL;
	return steal_ptr(&out);
}

static int add_json(const struct copy *c, struct buf *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	if (!doc || !list)
		return -1;
	for (size_t i = 0; i < c->nr_dests; i++)
		if (json_append(list, dest_json(c, &c->dests[i], err), err) < 0)
			return -1;
	if (json_set_str(doc, "source", c->opts->source, err) < 0 ||
		json_set_str(doc, "source_region", c->region, err) < 0 ||
		json_set_str(doc, "name", c->image ? c->name : NULL, err) < 0 ||
		json_set(doc, "copies", steal_ptr(&list), err) < 0)
		return -1;
	return json_write(doc, true, out, err);
}

static int add_text(const struct copy *c, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < c->nr_dests; i++) {
		const struct copy_dest *d = &c->dests[i];

		if (d->id[0] && buf_addf(out, err, "%s %s\n", d->region, d->id) < 0)
			return -1;
		if (c->opts->dry_run && !d->id[0] && d->state == COPY_TO_BEGIN &&
			buf_addf(out, err, "%s would be copied%s%s%s\n", d->region,
				d->encrypt ? ", encrypted" : "", d->key[0] ? " with " : "", d->key) < 0)
			return -1;
	}
	return 0;
}

/* Also after a failure: what is there is part of the result. */
static int print(const struct copy *c, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if ((c->ctx->opts.json ? add_json(c, &out, err) : add_text(c, &out, err)) < 0)
		return -1;
	return out.len ? context_print(&out, err) : 0;
}

/* "eu-west-1=alias/x" or "alias/x"; *texts is what the regions are kept in. */
static int parse_keys(const struct options_list *list, struct copy_key **keys, char ***texts,
	struct error *err)
{
	*keys = calloc(list->nr + 1, sizeof(**keys));
	*texts = calloc(list->nr + 1, sizeof(**texts));
	if (!*keys || !*texts)
		return error_nomem(err, "keys");
	for (size_t i = 0; i < list->nr; i++) {
		const char *text = list->items[i], *eq = strchr(text, '=');

		(*keys)[i].key = eq ? eq + 1 : text;
		if (!(*keys)[i].key[0] || eq == text)
			return error_set(err, ERROR_USAGE, 0, "--kms-key: '%s' is not [REGION=]KEY", text);
		if (!eq)
			continue;
		(*texts)[i] = buf_strf(err, "%.*s", (int)(eq - text), text);
		if (!(*texts)[i])
			return -1;
		(*keys)[i].region = (*texts)[i];
	}
	return 0;
}

static int copy(struct context *ctx, const struct copy_opts *opts, struct error *err)
{
	struct error ignored = ERROR_INIT;
	struct copy c;
	int ret = copy_run(&c, ctx, opts, err);

	/* A refusal has nothing to show but itself. */
	if (c.nr_dests && c.dests[0].aws && (!ret || err->kind != ERROR_POLICY) &&
		print(&c, ret ? &ignored : err) < 0)
		ret = -1;
	copy_release(&c);
	return ret;
}

static int run(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	const struct copy_options *o = popts;
	CLEANUP_FREE struct copy_key *keys = NULL;
	CLEANUP_FREE char **texts = NULL;
	struct command_tags tags = {0};
	struct copy_opts opts = {
		.source = args->items[0],
		.regions = o->to.items,
		.nr_regions = o->to.nr,
		.name = o->name,
		.description = o->description,
		.encrypt = o->encrypt,
		.plain = o->plain,
		.no_tags = o->no_tags,
		.no_wait = o->no_wait,
		.dry_run = o->dry_run,
		.timeout_s = (unsigned)o->timeout * 60,
	};
	int ret = parse_keys(&o->keys, &keys, &texts, err);

	opts.keys = keys;
	opts.nr_keys = o->keys.nr;
	if (!ret && !o->to.nr)
		ret = error_set(err, ERROR_USAGE, 0, "'copy' needs --to REGION");
	for (size_t i = 0; i < o->to.nr && !ret; i++)
		if (!spec_is_region(o->to.items[i]))
			ret = error_set(err, ERROR_USAGE, 0,
				"--to: '%s' is no AWS region, which looks like eu-west-1", o->to.items[i]);
	if (!ret)
		ret = command_tags_parse(&tags, NULL, &o->tags, err);
	opts.tags = tags.items;
	opts.nr_tags = tags.nr;
	if (!ret)
		ret = copy(ctx, &opts, err);
	for (size_t i = 0; texts && i < o->keys.nr; i++)
		free(texts[i]);
	command_tags_release(&tags);
	return ret;
}

const struct command cmd_copy = {
	.name = "copy",
	.args = "AMI|SNAP",
	.summary = "an AMI or snapshot to other regions",
	.description =
		"Copies an AMI with its snapshots, or a snapshot, to other regions, all at once, and\n"
		"waits until they are there. Prints a line 'REGION ID' for each. Tags go with them.\n"
		"What EC2's rules on encryption forbid is refused before anything is begun (exit\n"
		"status 3). Safe to repeat: copies that are there, or under way, are found.",
	.options = options,
	.options_size = sizeof(struct copy_options),
	.min_args = 1,
	.max_args = 1,
	.run = run,
};
