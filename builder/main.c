/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program: options before the command, the command, its options, its work; then the one place
 * that prints errors and turns their kind into an exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "base/text.h"
#include "builder/command.h"

static int exit_status(const struct error *err)
{
	switch (err->kind) {
	case ERROR_USAGE:
		return 2;
	case ERROR_POLICY:
		return 3;
	case ERROR_SERVICE:
		return 4;
	case ERROR_INTERRUPTED:
		return 130;
	default:
		return 1;
	}
}

/*
 * A spec's mistakes are printed as they are, so that editors find file and line; all else gets our
 * name. When stderr itself fails there is nobody left to tell.
 */
static void print_error(struct context *ctx, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct error ignored;
	int ret;

	log_status_line(NULL);
	log_redact_text(err->text);
	if (err->kind == ERROR_USAGE && ctx->diag.count)
		ret = diag_text(&ctx->diag, &text, &ignored);
	else
		ret = buf_addf(&text, &ignored, "amiwright: %s\n", err->text);
	if (!ret)
		text_hide_controls(text.data); /* names out of archives and images may be in it */
	if (!ret)
		ret = file_write_all(STDERR_FILENO, text.data, text.len, "stderr", &ignored);
	(void)ret;
}

static int check_args(const struct command *c, const struct options_args *args, struct error *err)
{
	if (args->nr < c->min_args)
		return error_set(err, ERROR_USAGE, 0, "'%s' needs %s (see 'amiwright help %s')",
			c->name, c->args, c->name);
	if (args->nr > c->max_args)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' does not know what to do with '%s' (see 'amiwright help %s')", c->name,
			args->items[c->max_args], c->name);
	return 0;
}

static int print_help(const struct command *command, struct error *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(0);

	if (command_help(command, &out, err) < 0)
		return -1;
	return context_print(&out, err);
}

static int run_parsed(struct context *ctx, const struct command *command, const void *values,
	const struct options_args *args, struct error *err)
{
	if (ctx->opts.help)
		return print_help(command, err);
	if (check_args(command, args, err) < 0 || context_init(ctx, err) < 0)
		return -1;
	return command->run(ctx, values, args, err);
}

static int run_command(struct context *ctx, const struct command *command, const char *const *argv,
	size_t argc, struct error *err)
{
	static const struct options_def none[] = {{0}};
	CLEANUP_FREE void *values = calloc(1, command->options_size + 1);
	struct options_args args = {0};
	struct options_target targets[] = {
		{command->options ? command->options : none, values},
		{context_option_defs, &ctx->opts},
	};
	size_t used;
	int ret;

	if (!values)
		return error_nomem(err, "options");
	ret = options_parse(targets, ARRAY_SIZE(targets), argv, argc, false, &args, &used, err);
	if (ret < 0 && err->kind == ERROR_USAGE)
		error_wrap(err, "'%s'", command->name);
	if (!ret)
		ret = run_parsed(ctx, command, values, &args, err);
	options_release(&targets[0]);
	options_args_release(&args);
	return ret;
}

static int run(struct context *ctx, const char *const *argv, size_t argc, struct error *err)
{
	struct options_target global = {context_option_defs, &ctx->opts};
	struct options_args none = {0};
	const struct command *command;
	const char *nearest;
	size_t used;

	if (options_parse(&global, 1, argv, argc, true, &none, &used, err) < 0)
		return -1;
	if (used == argc) {
		if (ctx->opts.help)
			return print_help(NULL, err);
		return error_set(err, ERROR_USAGE, 0,
			"no command given: 'amiwright help' lists them");
	}
	command = command_find(argv[used]);
	if (command)
		return run_command(ctx, command, argv + used + 1, argc - used - 1, err);
	nearest = command_nearest(argv[used]);
	if (nearest)
		return error_set(err, ERROR_USAGE, 0, "unknown command '%s': did you mean '%s'?",
			argv[used], nearest);
	return error_set(err, ERROR_USAGE, 0, "unknown command '%s': 'amiwright help' lists them",
		argv[used]);
}

/*
 * The next file that is opened would take the number of a closed standard stream, and messages
 * would be written into an image. /dev/null takes it instead, opened the wrong way round, so that
 * using the stream fails as it did. Where that cannot be opened, nothing else could.
 */
static int hold_standard_streams(struct error *err)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return error_set(err, ERROR_IO, errno, "cannot open '/dev/null'");
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct context ctx = {0};
	struct error err = ERROR_INIT;
	int status = EXIT_SUCCESS;
	size_t nr = argc > 0 ? (size_t)argc - 1 : 0;

	if (hold_standard_streams(&err) < 0 || run(&ctx, (const char *const *)argv + (argc > 0), nr, &err) < 0) {
		print_error(&ctx, &err);
		status = exit_status(&err);
	} else {
		status = ctx.status;
	}
	context_release(&ctx);
	return status;
}
