/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright help [COMMAND]`. */
#include "builder/command.h"

static int run(struct context *ctx, const void *opts, const struct options_args *args,
	struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);
	const struct command *command = NULL;

	(void)ctx;
	(void)opts;
	if (args->nr) {
		command = command_find(args->items[0]);
		if (!command)
			return error_set(err, ERROR_USAGE, 0, "unknown command '%s'",
				args->items[0]);
	}
	if (command_help(command, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

const struct command cmd_help = {
	.name = "help",
	.args = "[COMMAND]",
	.summary = "say what there is, or how a command is used",
	.description = "Prints the list of commands, or one command's options.",
	.max_args = 1,
	.run = run,
};
