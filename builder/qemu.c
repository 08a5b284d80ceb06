/* SPDX-License-Identifier: Apache-2.0 */
/* Starting and ending QEMU. */
#include "builder/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "base/program.h"

enum { SAID_MAX = 16 << 10, STOP_STEPS = 50, STEP_MS = 100 };

struct firmware {
	enum qemu_architecture architecture;
	const char *code, *vars, *package;
};

/* By preference: Ubuntu 24.04 has the 4 MiB form only, older Debian the other only. */
static const struct firmware firmwares[] = {
	{QEMU_X86_64, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf"},
	{QEMU_X86_64, "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd", "ovmf"},
	{QEMU_ARM64, "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd",
		"qemu-efi-aarch64"},
};

int qemu_find_uefi(enum qemu_architecture a, const char **code, const char **vars,
	struct error *err)
{
	const struct firmware *f = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(firmwares); i++) {
		if (firmwares[i].architecture != a)
			continue;
		f = &firmwares[i];
		if (access(f->code, R_OK) < 0 || access(f->vars, R_OK) < 0)
			continue;
		*code = f->code;
		*vars = f->vars;
		return 0;
	}
	return error_set(err, ERROR_USAGE, 0,
		"there is no UEFI firmware for %s ('%s' and '%s'): install the package '%s'",
		qemu_architecture_name(a), f ? f->code : "", f ? f->vars : "",
		f ? f->package : "");
}

static int make_channel(int ends[2], struct error *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a channel for QEMU");
	return 0;
}

/* In the new process, until exec: nothing here may allocate or lock. */
static void become_qemu(pid_t parent, int console, int messages, const char *file,
	char *const *argv)
{
	static char language[] = "LC_ALL=C", path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
	static char *const environment[] = {path, language, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	/* It is not to hear a terminal's ctrl-C: we end it. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(console, 0) < 0 || dup2(console, 1) < 0 ||
		dup2(messages, 2) < 0)
		_exit(126);
	execve(file, argv, environment);
	_exit(127);
}

static void log_command(const struct qemu_argv *argv)
{
	CLEANUP_BUF struct buf line = BUF_INIT(0);

	/* A log line that there is no memory for is left out. */
	for (size_t i = 0; i < argv->nr; i++)
		if (buf_addf(&line, NULL, " [%s]", argv->items[i]) < 0)
			return;
	log_debug("running%s", buf_str(&line));
}

int qemu_start(struct qemu *q, enum qemu_architecture a, const struct qemu_argv *argv,
	struct error *err)
{
	CLEANUP_FREE char *file = NULL;
	CLEANUP_CLOSE int console = -1;
	CLEANUP_CLOSE int messages = -1;
	pid_t self = getpid();
	int ends[2];

	if (program_need(qemu_program(a), qemu_package(a), err) < 0)
		return -1;
	file = program_find(qemu_program(a), err);
	if (!file || make_channel(ends, err) < 0)
		return -1;
	q->console = ends[0];
	console = ends[1];
	if (make_channel(ends, err) < 0)
		return -1;
	q->messages = ends[0];
	messages = ends[1];
	if (fcntl(q->console, F_SETFL, O_NONBLOCK) < 0 || fcntl(q->messages, F_SETFL, O_NONBLOCK) < 0)
		return error_set(err, ERROR_IO, errno, "cannot set up a channel for QEMU");
	buf_init(&q->said, 2 * SAID_MAX);
	log_command(argv);
	q->pid = fork();
	if (q->pid < 0)
		return error_set(err, ERROR_IO, errno, "cannot start '%s'", file);
	if (!q->pid)
		become_qemu(self, console, messages, file, argv->items);
	return 0;
}

void qemu_listen(struct qemu *q)
{
	char text[2048];
	ssize_t n;

	while (q->messages >= 0 && (n = read(q->messages, text, sizeof(text))) != -1) {
		if (!n) {
			close(steal_fd(&q->messages));
			break;
		}
		if (q->said.len > SAID_MAX)
			buf_clear(&q->said);
		/* What cannot be kept is not told. */
		if (buf_add(&q->said, text, (size_t)n, NULL) < 0)
			buf_clear(&q->said);
		log_debug("qemu: %.*s", (int)n - (text[n - 1] == '\n'), text);
	}
}

bool qemu_ended(struct qemu *q)
{
	pid_t r;

	if (q->pid < 0)
		return true;
	r = waitpid(q->pid, &q->status, WNOHANG);
	if (r == 0 || (r < 0 && errno == EINTR))
		return false;
	if (r < 0)
		q->status = 0;
	q->pid = -1;
	return true;
}

static bool wait_end(struct qemu *q, int steps)
{
	for (int i = 0; i < steps && !qemu_ended(q); i++) {
		qemu_listen(q);
		poll(NULL, 0, STEP_MS);
	}
	return qemu_ended(q);
}

void qemu_stop(struct qemu *q)
{
	if (qemu_ended(q))
		return;
	kill(q->pid, SIGTERM);
	if (wait_end(q, STOP_STEPS))
		return;
	kill(q->pid, SIGKILL);
	while (waitpid(q->pid, &q->status, 0) < 0 && errno == EINTR)
		;
	q->pid = -1;
}

void qemu_release(struct qemu *q)
{
	qemu_stop(q);
	if (q->console >= 0)
		close(steal_fd(&q->console));
	if (q->messages >= 0)
		close(steal_fd(&q->messages));
	buf_release(&q->said);
}

bool qemu_stands_still(struct qemu *q)
{
	return q->said.len && strstr(buf_str(&q->said), "KVM internal error");
}

const char *qemu_last_words(struct qemu *q)
{
	enum { TOLD = 400 };

	qemu_listen(q);
	while (q->said.len && strchr(" \r\n", q->said.data[q->said.len - 1]))
		buf_truncate(&q->said, q->said.len - 1);
	if (!q->said.len)
		return "it said nothing";
	for (size_t i = 0; i < q->said.len; i++)
		if (strchr("\r\n", q->said.data[i]))
			q->said.data[i] = ' ';
	return q->said.len > TOLD ? q->said.data + q->said.len - TOLD : q->said.data;
}
