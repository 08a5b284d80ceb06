/* SPDX-License-Identifier: Apache-2.0 */
/* `amiwright version`. */
#include "builder/command.h"

#include "base/json.h"

static int run(struct context *ctx, const void *opts, const struct options_args *args,
	struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(4096);
	CLEANUP(json_cleanup) struct json *doc = NULL;

	(void)opts;
	(void)args;
	if (!ctx->opts.json) {
		if (buf_add_str(&out, "amiwright " AMIWRIGHT_VERSION "\n", err) < 0)
			return -1;
		return context_print(&out, err);
	}
	doc = json_new_object(err);
	if (!doc || json_set_str(doc, "version", AMIWRIGHT_VERSION, err) < 0)
		return -1;
	return context_print_json(doc, err);
}

const struct command cmd_version = {
	.name = "version",
	.args = "",
	.summary = "print the program's version",
	.description = "Prints the program's version.",
	.run = run,
};
