/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends an appliance from another thread. Its processes are the children of the thread that started it and
 * theirs, by /proc/self/task/TID/children (Linux, CONFIG_PROC_CHILDREN; where that is not there a
 * stopped or late appliance is waited for). Theirs too, because libguestfs reads what a program says to
 * the end, and that comes when the last process that has the pipe is gone. Time is counted in ticks:
 * nothing here reads a clock.
 */
#include "fs/guest_private.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"

enum { TICK_MS = 200, TICKS_A_SECOND = 1000 / TICK_MS, PATIENCE = 2 * TICKS_A_SECOND };
enum { PROCESSES_MAX = 256 };

struct processes {
	pid_t pids[PROCESSES_MAX];
	size_t nr;
};

struct guest_watch {
	struct guest_opts opts;
	pid_t owner;             /* the thread that is watched */
	struct processes before; /* its children that are none of the appliance's */
	pthread_t thread;
	int end;                 /* an eventfd */
	atomic_bool expired;
	pthread_mutex_t lock;    /* for the start that is waited for: */
	unsigned start_ticks;    /* what is left for it; 0: nothing is */
	bool start_late;
};

static bool contains(const struct processes *p, pid_t pid)
{
	for (size_t i = 0; i < p->nr; i++)
		if (p->pids[i] == pid)
			return true;
	return false;
}

/* process: 0 for our own. */
static void add_children(struct processes *p, pid_t process, pid_t thread, const struct processes *without)
{
	char path[80];
	FILE *file;
	int pid;

	if (process)
		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)process, (int)thread);
	else
		snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)thread);
	file = fopen(path, "re");
	while (file && p->nr < PROCESSES_MAX && fscanf(file, "%d", &pid) == 1)
		if (!contains(p, pid) && !contains(without, pid))
			p->pids[p->nr++] = pid;
	if (file)
		fclose(file);
}

/* All are found before the first is ended: orphans have another parent. */
static void end_processes(const struct guest_watch *w, int sig)
{
	struct processes p = {.nr = 0};

	add_children(&p, 0, w->owner, &w->before);
	for (size_t i = 0; i < p.nr; i++)
		add_children(&p, p.pids[i], p.pids[i], &w->before);
	for (size_t i = 0; i < p.nr; i++)
		kill(p.pids[i], sig);
}

static bool is_over(struct guest_watch *w, unsigned ticks)
{
	if (w->opts.limit_s && ticks / TICKS_A_SECOND >= w->opts.limit_s)
		atomic_store(&w->expired, true);
	return atomic_load(&w->expired) || (w->opts.cancelled && w->opts.cancelled());
}

/* Under the lock, so that the processes of the next start are not taken for those of the late one. */
static void end_late_start(struct guest_watch *w)
{
	pthread_mutex_lock(&w->lock);
	if (w->start_ticks && !--w->start_ticks)
		w->start_late = true;
	if (w->start_late)
		end_processes(w, SIGKILL);
	pthread_mutex_unlock(&w->lock);
}

static void *watch_thread(void *arg)
{
	struct guest_watch *w = arg;
	struct pollfd end = {w->end, POLLIN, 0};
	unsigned ticks = 0, late = 0;

	while (poll(&end, 1, TICK_MS) <= 0) {
		if (is_over(w, ++ticks))
			end_processes(w, ++late > PATIENCE ? SIGKILL : SIGTERM);
		else
			end_late_start(w);
	}
	return NULL;
}

static int start_thread(struct guest_watch *w, struct error *err)
{
	int code = thread_start(&w->thread, watch_thread, w);

	return code ? error_set(err, ERROR_IO, code, "cannot start a thread") : 0;
}

struct guest_watch *guest_watch_new(const struct guest_opts *opts, struct error *err)
{
	struct guest_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return error_nomem(err, "a watch over an appliance"), NULL;
	pthread_mutex_init(&w->lock, NULL);
	w->opts = *opts;
	w->owner = gettid();
	add_children(&w->before, 0, w->owner, &(struct processes){.nr = 0});
	w->end = eventfd(0, EFD_CLOEXEC);
	if (w->end < 0)
		error_set(err, ERROR_IO, errno, "cannot watch over an appliance");
	else if (start_thread(w, err) == 0)
		return w;
	if (w->end >= 0)
		close(w->end);
	free(w);
	return NULL;
}

bool guest_watch_expired(const struct guest_watch *w)
{
	return w && atomic_load(&w->expired);
}

void guest_watch_start_within(struct guest_watch *w, unsigned seconds)
{
	pthread_mutex_lock(&w->lock);
	w->start_ticks = seconds * TICKS_A_SECOND;
	w->start_late = false;
	pthread_mutex_unlock(&w->lock);
}

void guest_watch_free(struct guest_watch *w)
{
	if (!w)
		return;
	eventfd_write(w->end, 1);
	pthread_join(w->thread, NULL);
	close(w->end);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
