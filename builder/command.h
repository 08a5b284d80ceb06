/* SPDX-License-Identifier: Apache-2.0 */
/* The commands: one cmd_*.c and one line in command_table each. */
#ifndef AMIWRIGHT_BUILDER_COMMAND_H
#define AMIWRIGHT_BUILDER_COMMAND_H

#include "builder/context.h"

struct command {
	const char *name;
	const char *args;        /* "SPEC", "IN OUT"; "" for none */
	const char *summary;     /* one line for the list */
	const char *description; /* paragraphs for the command's own help; lines end before column 80 */
	const struct options_def *options;
	size_t options_size;     /* bytes of the struct that `options` fills */
	size_t min_args, max_args;
	bool hidden;             /* not in the overview: what the program runs itself as */
	int (*run)(struct context *ctx, const void *opts, const struct options_args *args,
		struct error *err);
};

/* NULL-terminated, in the order of the help text. */
extern const struct command *const command_table[];

/* The command of exactly that name, or NULL. */
const struct command *command_find(const char *name);
/* The name of a known command that is near to what was written, or NULL. */
const char *command_nearest(const char *name);

/* Appends the overview (command NULL) or one command's help. */
int command_help(const struct command *command, struct buf *out, struct error *err) MUST_CHECK;

/* A text with an id in each line: as it is, or with --json as {key: ["…", …]}. */
int command_print_ids(struct context *ctx, const char *key, const struct buf *lines,
	struct error *err) MUST_CHECK;

extern const struct command cmd_build, cmd_publish, cmd_convert, cmd_bundle, cmd_unbundle, cmd_inspect,
	cmd_upload, cmd_download, cmd_diff, cmd_verify, cmd_register, cmd_copy, cmd_share, cmd_unshare,
	cmd_images, cmd_deprecate, cmd_protect, cmd_deregister, cmd_prune, cmd_upload_bundle,
	cmd_download_bundle, cmd_delete_bundle, cmd_iam_policy, cmd_boot,
	cmd_imds_bridge, cmd_serve, cmd_version, cmd_help;

#endif
