/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and their help texts, made from the same tables that parse the options. */
#include "builder/command.h"

#include <string.h>

#include "base/json.h"
#include "base/num.h"

const struct command *const command_table[] = {
	&cmd_build,
	&cmd_publish,
	&cmd_convert,
	&cmd_bundle,
	&cmd_unbundle,
	&cmd_inspect,
	&cmd_upload,
	&cmd_download,
	&cmd_diff,
	&cmd_verify,
	&cmd_register,
	&cmd_copy,
	&cmd_share,
	&cmd_unshare,
	&cmd_images,
	&cmd_deprecate,
	&cmd_protect,
	&cmd_deregister,
	&cmd_prune,
	&cmd_upload_bundle,
	&cmd_download_bundle,
	&cmd_delete_bundle,
	&cmd_boot,
	&cmd_iam_policy,
	&cmd_serve,
	&cmd_version,
	&cmd_help,
	&cmd_imds_bridge,
	NULL,
};

const struct command *command_find(const char *name)
{
	for (const struct command *const *c = command_table; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

const char *command_nearest(const char *name)
{
	const char *names[ARRAY_SIZE(command_table)] = {NULL};
	size_t nr = 0;

	for (const struct command *const *c = command_table; *c; c++)
		if (!(*c)->hidden)
			names[nr++] = (*c)->name;
	return options_nearest(name, names);
}

/* printf() pads by bytes; "AMI…" has more of them than it takes columns. */
static int bytes_of_columns(const char *text, int columns)
{
	for (; *text; text++)
		columns += ((unsigned char)*text & 0xc0) == 0x80;
	return columns;
}

static int add_overview(struct buf *out, struct error *err)
{
	if (buf_add_str(out, "usage: amiwright [OPTION…] COMMAND [ARGUMENT…]\n\n"
			     "Builds Amazon Machine Images on any Linux machine: no root, no loop device, "
			     "no EC2\ninstance.\n\ncommands:\n", err) < 0)
		return -1;
	for (const struct command *const *c = command_table; *c; c++)
		if (!(*c)->hidden && buf_addf(out, err, "  %-15s %-*s %s\n", (*c)->name,
			    bytes_of_columns((*c)->args, 14), (*c)->args, (*c)->summary) < 0)
			return -1;
	return buf_add_str(out, "\n'amiwright help COMMAND' says more.\n", err);
}

int command_help(const struct command *command, struct buf *out, struct error *err)
{
	if (!command) {
		if (add_overview(out, err) < 0)
			return -1;
	} else {
		if (buf_addf(out, err, "usage: amiwright %s [OPTION…]%s%s\n\n%s\n", command->name,
			    *command->args ? " " : "", command->args, command->description) < 0)
			return -1;
		if (command->options &&
			(buf_add_str(out, "\noptions:\n", err) < 0 ||
				options_help(command->options, out, err) < 0))
			return -1;
	}
	if (buf_add_str(out, "\nglobal options, before or after the command:\n", err) < 0)
		return -1;
	return options_help(context_option_defs, out, err);
}

static struct json *ids_json(const char *key, const struct buf *lines, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err);
	CLEANUP(json_cleanup) struct json *ids = json_new_array(err);
	const char *line = buf_str(lines);

	if (!doc || !ids)
		return NULL;
	for (size_t len; *line; line += len + (line[len] == '\n')) {
		CLEANUP_FREE char *id = NULL;

		len = strcspn(line, "\n");
		id = buf_strf(err, "%.*s", (int)len, line);
		if (!id || json_append_str(ids, id, err) < 0)
			return NULL;
	}
	return json_set(doc, key, steal_ptr(&ids), err) < 0 ? NULL : steal_ptr(&doc);
}

int command_print_ids(struct context *ctx, const char *key, const struct buf *lines, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;

	if (!ctx->opts.json)
		return context_print(lines, err);
	doc = ids_json(key, lines, err);
	return doc ? context_print_json(doc, err) : -1;
}
