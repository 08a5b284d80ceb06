/* SPDX-License-Identifier: Apache-2.0 */
/* By posix_spawn(), which copies no memory however much we hold. */
#include "base/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>

/* All but the descriptors passed are closed by O_CLOEXEC. */
static int set_files(const struct spawn_opts *o, posix_spawn_file_actions_t *actions)
{
	int r = o->in > 0 ? posix_spawn_file_actions_adddup2(actions, o->in, 0) :
			    posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

	if (!r)
		r = posix_spawn_file_actions_adddup2(actions, o->out, 1);
	if (!r)
		r = posix_spawn_file_actions_adddup2(actions, o->messages, 2);
	if (!r && o->dir)
		r = posix_spawn_file_actions_addchdir_np(actions, o->dir);
	return r;
}

static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, defaults;
	int r;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGINT);
	sigaddset(&defaults, SIGTERM);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(attr, &defaults);
	if (!r)
		r = posix_spawnattr_setflags(attr,
			POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	return r;
}

/* The arrays of pointers are not written to; posix_spawn() is just declared that way. */
static char **unconst(const char *const *list)
{
	union {
		const char *const *in;
		char **out;
	} u = {.in = list};

	return u.out;
}

int spawn_program(const struct spawn_opts *o, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = posix_spawnattr_init(&attr);
	if (!r) {
		r = set_files(o, &actions);
		if (!r)
			r = set_signals(&attr);
		if (!r)
			r = posix_spawnp(pid, o->file, &actions, &attr, unconst(o->argv),
				unconst(o->environment));
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return r;
}
