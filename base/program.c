/* SPDX-License-Identifier: Apache-2.0 */
/* Running other programs: spawn, pump both of its pipes, wait. */
#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/num.h"
#include "base/spawn.h"

/* Of standard error only the end is kept: it is where programs say why they fail. */
enum { POLL_MS = 200, KILL_MS = 5000, MESSAGES_MAX = 64 << 10, TOLD_MAX = 400, LINES_MAX = 3, ENV_MAX = 64 };

static const char sbin[] = "/usr/local/sbin:/usr/sbin:/sbin";

/* What a program needs of the user's environment to find its way out. */
static const char *const passed[] = {"HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy",
	"all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE",
	"SSL_CERT_DIR", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"};

struct child {
	pid_t pid;
	int out, messages; /* reading ends; -1 when not piped or at their end */
	bool stopped;      /* it was told to end at stop_ms, and killed when that did not help */
	bool killed;
	int64_t stop_ms;
};

static const char *environment_value(const char *name)
{
	size_t len = strlen(name);

	for (char **e = environ; *e; e++)
		if (!strncmp(*e, name, len) && (*e)[len] == '=')
			return *e + len + 1;
	return NULL;
}

static char *search_path(struct error *err)
{
	const char *path = environment_value("PATH");

	return buf_strf(err, "%s:%s", path && *path ? path : "/usr/local/bin:/usr/bin:/bin", sbin);
}

/* A folder may be "executable" too. */
static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

char *program_find(const char *name, struct error *err)
{
	CLEANUP_FREE char *path = NULL;

	if (strchr(name, '/'))
		return is_program(name) ? buf_strf(err, "%s", name) : NULL;
	path = search_path(err);
	if (!path)
		return NULL;
	for (const char *dir = path; *dir;) {
		size_t len = strcspn(dir, ":");
		CLEANUP_FREE char *file = buf_strf(err, "%.*s/%s", (int)len, dir, name);

		if (!file)
			return NULL;
		if (len && is_program(file))
			return steal_ptr(&file);
		dir += len + (dir[len] == ':');
	}
	return NULL;
}

static int not_runnable(const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return error_set(err, ERROR_USAGE, errno, "cannot run '%s'", path);
	return error_set(err, ERROR_USAGE, 0, "cannot run '%s': it is not %s", path,
		S_ISREG(st.st_mode) ? "executable" : "a file");
}

/* A path is the user's own choice, and no package has its name. */
static int not_installed(const char *name, const char *package, struct error *err)
{
	if (strchr(name, '/') && !package)
		return not_runnable(name, err);
	return error_set(err, ERROR_USAGE, 0, "%s is not installed: install the package '%s'", name,
		package ? package : name);
}

static int not_found(const struct program_opts *opts, struct error *err)
{
	if (opts->inherit && !opts->package && !strchr(opts->argv[0], '/'))
		return error_set(err, ERROR_USAGE, 0, "there is no program '%s' in PATH",
			opts->argv[0]);
	return not_installed(opts->argv[0], opts->package, err);
}

int program_need(const char *name, const char *package, struct error *err)
{
	struct error e = ERROR_INIT;
	CLEANUP_FREE char *path = program_find(name, &e);

	if (path)
		return 0;
	if (e.kind != ERROR_NONE) {
		*err = e;
		return -1;
	}
	return not_installed(name, package, err);
}

static bool is_passed(const char *variable)
{
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++) {
		size_t len = strlen(passed[i]);

		if (!strncmp(variable, passed[i], len) && variable[len] == '=')
			return true;
	}
	return false;
}

/* True when the list sets the name of this NAME=VALUE. Of two of a name programs take either one. */
static bool is_set(const char *const *list, const char *variable)
{
	size_t len = strcspn(variable, "=") + 1;

	for (; list && *list; list++)
		if (!strncmp(*list, variable, len))
			return true;
	return false;
}

/* All texts are borrowed. */
static int make_environment(const struct program_opts *opts, const char **out, const char *path,
	struct error *err)
{
	const char *const own[] = {path, "LC_ALL=C", "TZ=UTC"};
	size_t nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (!is_set(opts->environment, own[i]))
			out[nr++] = own[i];
	for (char **e = environ; *e; e++)
		if (is_passed(*e) && !is_set(opts->environment, *e) && nr < ENV_MAX)
			out[nr++] = *e;
	for (size_t i = 0; opts->environment && opts->environment[i]; i++) {
		if (nr == ENV_MAX)
			return error_set(err, ERROR_BUG, 0, "too large an environment for '%s'",
				opts->argv[0]);
		out[nr++] = opts->environment[i];
	}
	out[nr] = NULL;
	return 0;
}

static int make_pipe(int *reading, int *writing, struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a pipe");
	*reading = fds[0];
	*writing = fds[1];
	return 0;
}

static int start(const struct program_opts *opts, struct child *c, struct error *err)
{
	CLEANUP_FREE char *file = program_find(opts->argv[0], err);
	CLEANUP_FREE char *path = search_path(err);
	CLEANUP_FREE char *path_variable = path ? buf_strf(err, "PATH=%s", path) : NULL;
	CLEANUP_CLOSE int out = -1;
	CLEANUP_CLOSE int messages = -1;
	const char *env[ENV_MAX + 1];
	struct spawn_opts how = {.argv = opts->argv, .environment = env, .dir = opts->dir,
		.in = opts->in};
	int r;

	if (!path_variable)
		return -1;
	if (!file)
		return err->kind == ERROR_NOMEM ? -1 : not_found(opts, err);
	if (make_environment(opts, env, path_variable, err) < 0)
		return -1;
	if (opts->out <= 0 && make_pipe(&c->out, &out, err) < 0)
		return -1;
	if (make_pipe(&c->messages, &messages, err) < 0)
		return -1;
	how.file = file;
	how.out = opts->out > 0 ? opts->out : out;
	how.messages = messages;
	if (opts->inherit)
		how.environment = (const char *const *)environ;
	r = spawn_program(&how, &c->pid);
	if (r && opts->dir)
		return error_set(err, ERROR_IO, r, "cannot run '%s' in '%s'", file, opts->dir);
	return r ? error_set(err, ERROR_IO, r, "cannot run '%s'", file) : 0;
}

/* Makes room by dropping the older half, so that a good deal of the end always stays. */
static void forget(struct buf *messages, size_t len)
{
	size_t keep = MIN(messages->len, (size_t)MESSAGES_MAX / 2);

	if (messages->len + len <= MESSAGES_MAX)
		return;
	memmove(messages->data, messages->data + messages->len - keep, keep);
	buf_truncate(messages, keep);
}

/* Reads what is there; closes at the end. Without `to` it is dropped. */
static int take(int *fd, struct buf *to, bool only_end, struct error *err)
{
	char data[16384];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		close(steal_fd(fd));
		return 0;
	}
	if (!to)
		return 0;
	if (only_end)
		forget(to, (size_t)n);
	return buf_add(to, data, (size_t)n, err);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void stop(struct child *c)
{
	kill(-c->pid, SIGTERM);
	c->stopped = true;
	c->stop_ms = now_ms();
}

/* Asks it to end when we are cancelled; one that does not within five seconds is ended. */
static void check_cancelled(const struct program_opts *opts, struct child *c)
{
	if (!c->stopped && opts->cancelled && opts->cancelled())
		stop(c);
	if (c->stopped && !c->killed && now_ms() - c->stop_ms > KILL_MS) {
		kill(-c->pid, SIGKILL);
		c->killed = true;
	}
}

static int pump(const struct program_opts *opts, struct child *c, struct buf *messages,
	struct error *err)
{
	while (c->out >= 0 || c->messages >= 0) {
		struct pollfd p[2] = {{c->out, POLLIN, 0}, {c->messages, POLLIN, 0}};

		check_cancelled(opts, c);
		if (poll(p, 2, POLL_MS) <= 0)
			continue;
		if ((p[0].revents && take(&c->out, opts->output, false, err) < 0) ||
			(p[1].revents && take(&c->messages, messages, true, err) < 0)) {
			stop(c);
			return -1;
		}
	}
	return 0;
}

/*
 * A program may close its output long before it ends: it is still to be stopped then. Most end at
 * once, so the waits begin short.
 */
static int wait_for(const struct program_opts *opts, struct child *c)
{
	int status = 0, ms = 1;
	pid_t pid;

	while ((pid = waitpid(c->pid, &status, WNOHANG)) <= 0) {
		if (pid < 0 && errno != EINTR)
			break;
		check_cancelled(opts, c);
		poll(NULL, 0, ms);
		ms = MIN(2 * ms, (int)POLL_MS);
	}
	return status;
}

/* Where the last lines begin. */
static size_t last_lines(const struct buf *messages)
{
	size_t start = messages->len;

	for (int lines = 0; start > 0; start--) {
		lines += messages->data[start - 1] == '\n';
		if (lines == LINES_MAX)
			break;
	}
	return start;
}

/* Over the whole: half a secret would not be known for one. */
static void clean(const struct program_opts *opts, struct buf *messages)
{
	for (char *nul; (nul = memchr(messages->data, '\0', messages->len));)
		*nul = ' ';
	opts->clean(messages->data);
	buf_truncate(messages, strlen(messages->data));
}

/* The end of what it said, on one line. */
static const char *last_words(const struct program_opts *opts, struct buf *messages)
{
	char *text = messages->data;
	size_t start;

	if (messages->len && opts->clean)
		clean(opts, messages);
	while (messages->len && strchr(" \n\r\t", text[messages->len - 1]))
		buf_truncate(messages, messages->len - 1);
	if (!messages->len)
		return "it said nothing";
	start = messages->len > TOLD_MAX ? messages->len - TOLD_MAX : 0;
	if (opts->clean)
		start = MAX(start, last_lines(messages));
	for (size_t i = start; i < messages->len; i++)
		if ((unsigned char)text[i] < ' ')
			text[i] = ' ';
	/* Not in the middle of a character of UTF-8. */
	while (start && ((unsigned char)text[start] & 0xc0) == 0x80)
		start++;
	return text + start;
}

static int result(const struct program_opts *opts, int status, bool stopped, struct buf *messages,
	struct error *err)
{
	if (stopped)
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
	if (WIFSIGNALED(status))
		return error_set(err, ERROR_INPUT, 0, "%s was killed by signal %d: %s", opts->argv[0],
			WTERMSIG(status), last_words(opts, messages));
	if (WEXITSTATUS(status))
		return error_set(err, ERROR_INPUT, 0, "%s failed (exit status %d): %s", opts->argv[0],
			WEXITSTATUS(status), last_words(opts, messages));
	if (messages->len)
		log_debug("%s: %s", opts->argv[0], last_words(opts, messages));
	return 0;
}

int program_run(const struct program_opts *opts, struct error *err)
{
	CLEANUP_BUF struct buf messages = BUF_INIT(2 * MESSAGES_MAX);
	struct child c = {.pid = -1, .out = -1, .messages = -1};
	int status, r = start(opts, &c, err);

	if (!r)
		r = pump(opts, &c, &messages, err);
	if (c.out >= 0)
		close(c.out);
	if (c.messages >= 0)
		close(c.messages);
	if (c.pid < 0)
		return -1;
	status = wait_for(opts, &c);
	return r < 0 ? -1 : result(opts, status, c.stopped, &messages, err);
}
