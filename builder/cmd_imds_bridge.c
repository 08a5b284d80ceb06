/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `amiwright imds-bridge`, which QEMU runs for each connection of the guest to its metadata service.
 */
#include "builder/command.h"

#include <unistd.h>

#include "builder/imds_server.h"

static int run_bridge(struct context *ctx, const void *popts, const struct options_args *args,
	struct error *err)
{
	(void)ctx;
	(void)popts;
	return imds_bridge(args->items[0], STDIN_FILENO, STDOUT_FILENO, err);
}

const struct command cmd_imds_bridge = {
	.name = "imds-bridge",
	.args = "DIR",
	.summary = "a guest's connection to its metadata service",
	.description = "Joins standard input and output to the metadata service of a running 'boot'.",
	.hidden = true,
	.min_args = 1,
	.max_args = 1,
	.run = run_bridge,
};
