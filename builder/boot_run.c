/* SPDX-License-Identifier: Apache-2.0 */
/* The poll loop of a running machine. */
#include "builder/boot_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"

/* POLL_MS: how late a signal or QEMU's end may be seen. ESCAPE: ctrl-A. */
enum { POLL_MS = 200, ESCAPE = 1 };

struct keys {
	bool raw;     /* the terminal was changed */
	struct termios saved;
	bool escaped; /* ctrl-A was the last key */
	bool left;    /* ctrl-A X was pressed */
};

/* Keys go to the guest one by one, ctrl-C too; what is printed is still made fit for a terminal. */
static void keys_begin(struct keys *k, int fd)
{
	struct termios t;

	if (fd < 0 || tcgetattr(fd, &k->saved) < 0)
		return;
	t = k->saved;
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
	t.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IXON | ISTRIP);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	k->raw = tcsetattr(fd, TCSADRAIN, &t) == 0;
}

static void keys_end(struct keys *k, int fd)
{
	if (k->raw && tcsetattr(fd, TCSADRAIN, &k->saved) < 0)
		log_warn("cannot set the terminal back: %s", strerror(errno));
}

/* The keys of ctrl-A: X leaves, ctrl-A is itself; all else goes on with it. */
static size_t translate(struct keys *k, const char *keys, size_t nr, char *out)
{
	size_t len = 0;

	for (size_t i = 0; i < nr && !k->left; i++) {
		if (!k->escaped && keys[i] == ESCAPE) {
			k->escaped = true;
			continue;
		}
		if (k->escaped && (keys[i] == 'x' || keys[i] == 'X'))
			k->left = true;
		else if (k->escaped && keys[i] != ESCAPE)
			out[len++] = ESCAPE;
		k->escaped = false;
		if (!k->left)
			out[len++] = keys[i];
	}
	return len;
}

static void take_keys(struct boot_run *r, struct keys *k)
{
	char keys[256], out[2 * sizeof(keys)];
	ssize_t n = read(r->in, keys, sizeof(keys));
	size_t len;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		k->left = true;
		return;
	}
	len = translate(k, keys, (size_t)n, out);
	/* A guest that does not read its port loses keys, as on real wires. */
	if (len && write(r->qemu->console, out, len) < 0)
		log_debug("the console does not take keys: %s", strerror(errno));
}

/* All that is there. */
static int take_console(struct boot_run *r, struct error *err)
{
	char data[8192];
	ssize_t n;

	while (r->qemu->console >= 0 && !r->console->seen) {
		n = read(r->qemu->console, data, sizeof(data));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0) {
			close(steal_fd(&r->qemu->console));
			return 0;
		}
		if (file_write_all(r->out, data, (size_t)n, r->out_name, err) < 0)
			return -1;
		boot_console_feed(r->console, data, (size_t)n);
	}
	return 0;
}

static int wait_and_serve(struct boot_run *r, struct keys *k, struct error *err)
{
	enum { CONSOLE, MESSAGES, KEYS, OWN };
	struct pollfd p[OWN + IMDS_POLLS] = {
		{r->qemu->console, POLLIN, 0},
		{r->qemu->messages, POLLIN, 0},
		{k->raw ? r->in : -1, POLLIN, 0},
	};
	size_t nr = imds_server_polls(r->imds, p + OWN);
	int ready = poll(p, OWN + nr, POLL_MS);

	if (ready < 0 && errno != EINTR)
		return error_set(err, ERROR_IO, errno, "cannot wait for QEMU");
	if (ready < 0)
		return 0;
	if (p[MESSAGES].revents)
		qemu_listen(r->qemu);
	if (p[KEYS].revents)
		take_keys(r, k);
	if (p[CONSOLE].revents && take_console(r, err) < 0)
		return -1;
	return imds_server_serve(r->imds, p + OWN, nr, r->now_ms(), err);
}

static int not_seen(struct boot_run *r, const char *why, struct error *err)
{
	CLEANUP_BUF struct buf last = BUF_INIT(0);

	if (boot_console_last(r->console, &last, err) < 0)
		return -1;
	log_error("the console's last lines:\n%s", last.len ? buf_str(&last) : "  (none)\n");
	if (r->expect)
		return error_set(err, ERROR_INPUT, 0, "'%s' was not seen on the console: %s",
			r->expect, why);
	return error_set(err, ERROR_INPUT, 0, "%s", why);
}

static int after_end(struct boot_run *r, struct error *err)
{
	int status = r->qemu->status;

	if (take_console(r, err) < 0)
		return -1;
	if (r->console->seen)
		return 0;
	if (WIFSIGNALED(status))
		return error_set(err, ERROR_IO, 0, "QEMU was killed by signal %d: %s",
			WTERMSIG(status), qemu_last_words(r->qemu));
	if (WEXITSTATUS(status))
		return error_set(err, ERROR_IO, 0, "QEMU failed (exit status %d): %s",
			WEXITSTATUS(status), qemu_last_words(r->qemu));
	return r->expect ? not_seen(r, "the machine powered off", err) : 0;
}

static int loop(struct boot_run *r, struct keys *k, struct error *err)
{
	uint64_t start = r->now_ms();
	char why[64];

	while (!r->console->seen && !k->left) {
		if (r->cancelled())
			return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
		if (r->timeout_s && r->now_ms() - start >= r->timeout_s * 1000) {
			snprintf(why, sizeof(why), "%llu seconds are over",
				(unsigned long long)r->timeout_s);
			return not_seen(r, why, err);
		}
		if (qemu_ended(r->qemu))
			return after_end(r, err);
		if (wait_and_serve(r, k, err) < 0)
			return -1;
		if (qemu_stands_still(r->qemu))
			return error_set(err, ERROR_IO, 0,
				"KVM cannot run this guest on this machine: try --accel tcg, which emulates it");
	}
	return 0;
}

int boot_run(struct boot_run *r, struct error *err)
{
	struct keys k = {0};
	int ret;

	keys_begin(&k, r->in);
	ret = loop(r, &k, err);
	keys_end(&k, r->in);
	return ret;
}
