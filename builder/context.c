/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's surroundings as values. Signals set a flag that every long loop asks for through
 * context_cancelled(); a second signal, but not a copy of the first, ends the process.
 */
#include "builder/context.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/num.h"
#include "base/pool.h"
#include "builder/spec.h"

const struct options_def context_option_defs[] = {
	{"region", 0, OPTIONS_TEXT, offsetof(struct context_options, region), "REGION",
		"AWS region (else AWS_REGION or the profile's)", 0, 0, NULL},
	{"profile", 0, OPTIONS_TEXT, offsetof(struct context_options, profile), "NAME",
		"profile of the AWS shared files", 0, 0, NULL},
	{"endpoint-url", 0, OPTIONS_TEXT, offsetof(struct context_options, endpoint_url), "URL",
		"server to talk to instead of AWS", 0, 0, NULL},
	{"local", 0, OPTIONS_TEXT, offsetof(struct context_options, local), "DIR",
		"use the local region kept in DIR: no account needed", 0, 0, NULL},
	{"max-attempts", 0, OPTIONS_NUMBER, offsetof(struct context_options, max_attempts), "N",
		"how often one AWS call is sent at most (default: 8)", 1, 100, NULL},
	{"json", 0, OPTIONS_FLAG, offsetof(struct context_options, json), NULL,
		"print the result as one JSON document", 0, 0, NULL},
	{"jobs", 'j', OPTIONS_NUMBER, offsetof(struct context_options, workers), "N",
		"threads that read and hash (default: one a processor)", 1, 256, NULL},
	{"quiet", 'q', OPTIONS_FLAG, offsetof(struct context_options, quiet), NULL,
		"only warnings and errors on stderr", 0, 0, NULL},
	{"verbose", 'v', OPTIONS_FLAG, offsetof(struct context_options, verbose), NULL,
		"say more on stderr", 0, 0, NULL},
	{"help", 'h', OPTIONS_FLAG, offsetof(struct context_options, help), NULL,
		"this help", 0, 0, NULL},
	{0},
};

/* The only state of the process as a whole: signals have no other way to reach the loops. */
static volatile sig_atomic_t signal_seen;
static int signal_event = -1;

/*
 * `timeout` and others that pass signals on send one to us and one to our group: what comes within
 * a second is taken for the same one, else the clean-up that it asked for would be cut off.
 */
static void on_signal(int number)
{
	static struct timespec first;
	struct timespec now;
	uint64_t one = 1;
	int saved = errno;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!signal_seen) {
		first = now;
	} else if (now.tv_sec - first.tv_sec > 1) {
		signal(number, SIG_DFL);
		raise(number);
	}
	signal_seen = number;
	if (signal_event >= 0 && write(signal_event, &one, sizeof(one)) < 0)
		signal_seen = number;
	errno = saved;
}

static int install_signals(struct error *err)
{
	struct sigaction end = {.sa_handler = on_signal};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct sigaction hangup;

	signal_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (signal_event < 0)
		return error_set(err, ERROR_IO, errno, "cannot make an event descriptor");
	sigemptyset(&end.sa_mask);
	sigemptyset(&ignore.sa_mask);
	/* nohup has it ignored, and so it stays. */
	if (sigaction(SIGHUP, NULL, &hangup) < 0 ||
		(hangup.sa_handler != SIG_IGN && sigaction(SIGHUP, &end, NULL) < 0) ||
		sigaction(SIGINT, &end, NULL) < 0 || sigaction(SIGTERM, &end, NULL) < 0 ||
		sigaction(SIGPIPE, &ignore, NULL) < 0)
		return error_set(err, ERROR_IO, errno, "cannot set signal handlers");
	return 0;
}

bool context_cancelled(void)
{
	return signal_seen != 0;
}

int context_check(struct error *err)
{
	if (!context_cancelled())
		return 0;
	return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
}

void context_wait_for_signal(void)
{
	struct pollfd p = {.fd = signal_event, .events = POLLIN};

	while (!context_cancelled())
		poll(&p, 1, -1);
}

uint64_t context_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int64_t context_wall_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

int context_random(void *buf, size_t len)
{
	unsigned char *p = buf;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static const char *env_get(void *arg, const char *name)
{
	(void)arg;
	return getenv(name);
}

static int64_t clock_wall(void *arg)
{
	(void)arg;
	return context_wall_s();
}

static uint64_t clock_monotonic(void *arg)
{
	(void)arg;
	return context_now_ms();
}

/* Jitter only: a failing random source makes it constant, nothing worse. */
static double clock_random(void *arg)
{
	uint32_t v = 0;

	(void)arg;
	if (context_random(&v, sizeof(v)) < 0)
		v = UINT32_MAX / 2;
	return (double)v / 4294967296.0;
}

static void init_progress(struct context *ctx)
{
	const char *term = getenv("TERM");
	const char *no_color = getenv("NO_COLOR");
	struct winsize ws;

	ctx->progress.tty = isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
	ctx->progress.color = ctx->progress.tty && !(no_color && *no_color);
	ctx->progress.quiet = ctx->opts.quiet;
	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) && ws.ws_col)
		ctx->progress.width = ws.ws_col;
	ctx->progress.now_ms = context_now_ms;
}

int context_init(struct context *ctx, struct error *err)
{
	if (ctx->opts.quiet && ctx->opts.verbose)
		return error_set(err, ERROR_USAGE, 0, "--quiet and --verbose exclude each other");
	if (ctx->opts.local && (ctx->opts.endpoint_url || ctx->opts.profile))
		return error_set(err, ERROR_USAGE, 0,
			"--local brings its own endpoint and credentials: leave out --%s",
			ctx->opts.endpoint_url ? "endpoint-url" : "profile");
	log_set_level(ctx->opts.quiet	? LOG_LEVEL_WARN :
		      ctx->opts.verbose ? LOG_LEVEL_DEBUG :
					  LOG_LEVEL_INFO);
	ctx->env.get = env_get;
	ctx->clock = (struct aws_clock){clock_wall, clock_monotonic, clock_random, NULL};
	init_progress(ctx);
	interrupt_ask(context_cancelled);
	return install_signals(err);
}

void context_release(struct context *ctx)
{
	if (ctx->disconnect)
		ctx->disconnect(ctx);
	if (signal_event >= 0)
		close(signal_event);
	signal_event = -1;
	diag_release(&ctx->diag);
	log_release();
}

int context_epoch(struct context *ctx, bool *given, int64_t *epoch, struct error *err)
{
	const char *text = ctx->env.get(ctx->env.arg, "SOURCE_DATE_EPOCH");
	uint64_t value;

	*given = text && *text;
	if (!*given)
		return 0;
	if (num_parse(text, SPEC_EPOCH_MAX, &value, err) < 0)
		return error_wrap(err, "SOURCE_DATE_EPOCH");
	*epoch = (int64_t)value;
	return 0;
}

const char *context_tmpdir(const struct context *ctx)
{
	const char *dir = ctx->env.get(ctx->env.arg, "TMPDIR");

	return dir && *dir ? dir : NULL;
}

struct format_read_opts context_read_opts(const struct context *ctx)
{
	return (struct format_read_opts){
		.spool_dir = context_tmpdir(ctx),
		.workers = context_workers(ctx),
		.cancelled = context_cancelled,
		.progress = &ctx->progress,
	};
}

struct dev *context_open_disk(const struct context *ctx, const char *path, struct error *err)
{
	struct format_read_opts opts = context_read_opts(ctx);

	return format_open_disk(path, &opts, true, err);
}

/* The XDG specification: a path that is not absolute counts as not set. */
char *context_state_dir(const struct context *ctx, struct error *err)
{
	const char *state = ctx->env.get(ctx->env.arg, "XDG_STATE_HOME");
	const char *home = ctx->env.get(ctx->env.arg, "HOME");
	char *dir;

	if (state && *state == '/')
		dir = buf_strf(err, "%s/amiwright", state);
	else if (home && *home == '/')
		dir = buf_strf(err, "%s/.local/state/amiwright", home);
	else
		return error_null(err, ERROR_USAGE, 0,
			"no folder for what is kept between runs: set HOME or XDG_STATE_HOME");
	if (dir && file_mkdirs(dir, 0700, err) < 0) {
		free(dir);
		return NULL;
	}
	return dir;
}

unsigned context_workers(const struct context *ctx)
{
	return ctx->opts.workers ? (unsigned)ctx->opts.workers : pool_default_workers();
}

/* The first that is set decides, as setlocale() has it. */
static bool is_utf8(const struct context *ctx)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = ctx->env.get(ctx->env.arg, names[i]);

		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

struct context_screen context_screen(const struct context *ctx)
{
	const char *term = ctx->env.get(ctx->env.arg, "TERM");
	const char *no_color = ctx->env.get(ctx->env.arg, "NO_COLOR");
	const char *columns = ctx->env.get(ctx->env.arg, "COLUMNS");
	struct context_screen s = {.tty = isatty(STDOUT_FILENO), .unicode = is_utf8(ctx), .width = 80};
	struct winsize ws;
	uint64_t width;

	s.color = s.tty && !(term && !strcmp(term, "dumb")) && !(no_color && *no_color);
	if (columns && !num_parse(columns, 1000, &width, NULL) && width)
		s.width = (int)width;
	else if (s.tty && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col)
		s.width = ws.ws_col;
	return s;
}

int context_print(const struct buf *text, struct error *err)
{
	return file_write_all(STDOUT_FILENO, buf_str(text), text->len, "standard output", err);
}

int context_print_line(const char *text, struct error *err)
{
	CLEANUP_BUF struct buf line = BUF_INIT(0);

	return buf_addf(&line, err, "%s\n", text) < 0 ? -1 : context_print(&line, err);
}

int context_print_json(const struct json *doc, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);

	return json_write(doc, true, &text, err) < 0 ? -1 : context_print(&text, err);
}
