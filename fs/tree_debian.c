/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian packages into a tree: mmdebstrap is run without a shell, its tar is read from one pipe
 * while a thread drains the other, so that neither side waits for the other one. Afterwards the
 * files that belong to a machine or a run are taken out.
 */
#include "fs/tree_debian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/spawn.h"
#include "fs/tree_debian_internal.h"
#include "fs/tree_edit.h"
#include "fs/tree_tar.h"

enum { CANCEL_POLL_MS = 200 };

static const char default_program[] = "mmdebstrap";

struct child {
	const char *program;
	pid_t pid;
	int out, messages_fd; /* the reading ends of its standard output and error */
	pthread_t reader;
	bool (*cancelled)(void);
	struct debian_messages messages;
};

/* Returns when there is something to read. Its process is not waited for while this runs. */
static void wait_for_messages(struct child *c)
{
	struct pollfd p = {.fd = c->messages_fd, .events = POLLIN};

	while (c->cancelled) {
		if (c->cancelled()) {
			kill(-c->pid, SIGTERM);
			c->cancelled = NULL;
		} else if (poll(&p, 1, CANCEL_POLL_MS) != 0) {
			break;
		}
	}
}

static void *read_messages(void *arg)
{
	struct child *c = arg;
	char data[4096];
	ssize_t n;

	for (;;) {
		wait_for_messages(c);
		n = read(c->messages_fd, data, sizeof(data));
		if (n > 0)
			debian_messages_add(&c->messages, data, (size_t)n);
		else if (n == 0 || errno != EINTR)
			break;
	}
	debian_messages_end(&c->messages);
	return NULL;
}

static int cannot_run(const struct child *c, int errnum, struct error *err)
{
	if (errnum == ENOENT && c->program == default_program)
		return error_set(err, ERROR_USAGE, 0,
			"mmdebstrap is not installed: install the package 'mmdebstrap'");
	return error_set(err, errnum == ENOENT ? ERROR_USAGE : ERROR_IO, errnum, "cannot run '%s'",
		c->program);
}

/* Waits for its end; status as waitpid() has it. The thread ends when the pipe does. */
static int wait_for(struct child *c, int *status, struct error *err)
{
	pid_t pid;

	/* First the thread, so that it has no pid that is somebody else's by then. */
	pthread_join(c->reader, NULL);
	do {
		pid = waitpid(c->pid, status, 0);
	} while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return error_set(err, ERROR_IO, errno, "cannot wait for '%s'", c->program);
	return 0;
}

static int start(struct child *c, const struct tree_debian_opts *opts, struct error *err)
{
	struct debian_strings argv = {NULL, 0, 0}, envp = {NULL, 0, 0};
	CLEANUP_CLOSE int out = -1;
	CLEANUP_CLOSE int messages = -1;
	struct spawn_opts how = {.file = c->program};
	int fds[2], r = -1;

	if (debian_arguments(opts, &argv, err) < 0 || debian_environment(opts, &envp, err) < 0)
		goto out;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_set(err, ERROR_IO, errno, "cannot make a pipe");
		goto out;
	}
	c->out = fds[0];
	out = fds[1];
	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_set(err, ERROR_IO, errno, "cannot make a pipe");
		goto out;
	}
	c->messages_fd = fds[0];
	messages = fds[1];
	how.argv = (const char *const *)argv.items;
	how.environment = (const char *const *)envp.items;
	how.out = out;
	how.messages = messages;
	r = spawn_program(&how, &c->pid);
	if (r != 0)
		r = cannot_run(c, r, err);
out:
	debian_strings_release(&argv);
	debian_strings_release(&envp);
	return r;
}

static int start_reader(struct child *c, struct error *err)
{
	int status, r = pthread_create(&c->reader, NULL, read_messages, c);

	if (r == 0)
		return 0;
	kill(-c->pid, SIGTERM);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	return error_set(err, ERROR_IO, r, "cannot start a thread");
}

/*
 * True when the writer has gone: then the tar is broken because mmdebstrap failed, not the other
 * way round.
 */
static bool at_end(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && !(p.revents & POLLIN) && (p.revents & POLLHUP);
}

/* What mmdebstrap finds no words for: how an ordinary user gets to run it. */
static const char *hint(const char *text)
{
	if (!strstr(text, "unable to pick chroot mode"))
		return "";
	return " (an ordinary user needs the package 'uidmap' and a range of ids in /etc/subuid and "
	       "/etc/subgid)";
}

static int failed(struct child *c, int status, struct error *err)
{
	const char *text = debian_messages_text(&c->messages);

	if (WIFSIGNALED(status))
		return error_set(err, ERROR_INPUT, 0, "%s was killed by signal %d: %s", c->program,
			WTERMSIG(status), text);
	return error_set(err, ERROR_INPUT, 0, "%s failed (exit status %d): %s%s", c->program,
		WEXITSTATUS(status), text, hint(text));
}

static int read_tar(struct child *c, struct tree *t, struct error *err)
{
	static const struct tree_tar_opts tar_opts = {.no_devices = true};
	int r = tree_tar_add_fd(t, c->out, "tar from mmdebstrap", &tar_opts, err), status;
	bool ours = r < 0 && !at_end(c->out);
	struct error wait_err = ERROR_INIT;

	if (ours) {
		kill(-c->pid, SIGTERM);
		close(steal_fd(&c->out));
	}
	if (wait_for(c, &status, &wait_err) < 0) {
		if (r == 0)
			*err = wait_err;
		return -1;
	}
	if (!ours && status != 0)
		return failed(c, status, err);
	return r;
}

/*
 * A machine id that is there but empty makes systemd invent one at the first boot. Keys that
 * several machines share are no secret; cloud-init makes new ones at the first boot. Host name and
 * resolver were copied from the machine that builds; a resolv.conf that is a link belongs to the
 * image's own resolver.
 */
static int clean(struct tree *t, struct error *err)
{
	static const char *const files[] = {"/etc/ssh/ssh_host_*", "/var/lib/dbus/machine-id",
		"/etc/hostname", "/var/cache/ldconfig/aux-cache", "/var/log/dpkg.log",
		"/var/log/bootstrap.log", "/var/log/alternatives.log", "/var/log/apt/*",
		"/var/lib/apt/lists/*", "/var/cache/apt/*.bin", "/var/lib/systemd/random-seed"};
	struct tree_attr attr;
	tree_node node;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (tree_edit_remove(t, files[i], true, err) < 0)
			return -1;
	if (tree_lookup(t, "/etc/resolv.conf", false, &node, err) < 0)
		return -1;
	if (node != TREE_NONE) {
		tree_get(t, node, &attr);
		if (S_ISREG(attr.mode))
			tree_remove(t, node);
	}
	if (tree_lookup(t, "/etc/machine-id", false, &node, err) < 0)
		return -1;
	if (node == TREE_NONE)
		return 0;
	tree_get(t, node, &attr);
	return S_ISREG(attr.mode) ? tree_set_size(t, node, 0, err) : 0;
}

int tree_debian_add(struct tree *t, const struct tree_debian_opts *opts, struct error *err)
{
	struct child c = {.program = opts->program ? opts->program : default_program, .out = -1,
		.messages_fd = -1, .cancelled = opts->cancelled};
	struct tree_debian_opts whole = *opts;
	int r;

	if (!opts->program && tree_debian_check(opts->architecture, err) < 0)
		return -1;
	if (!whole.environment)
		whole.environment = (const char *const *)environ;
	debian_messages_init(&c.messages);
	r = start(&c, &whole, err);
	if (r == 0)
		r = start_reader(&c, err);
	if (r == 0)
		r = read_tar(&c, t, err);
	if (c.out >= 0)
		close(c.out);
	if (c.messages_fd >= 0)
		close(c.messages_fd);
	debian_messages_release(&c.messages);
	return r < 0 ? -1 : clean(t, err);
}
