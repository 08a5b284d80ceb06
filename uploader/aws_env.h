/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The surroundings of an AWS client as values: environment and clocks. builder/ makes them from the
 * process's own, tests make them up.
 */
#ifndef AMIWRIGHT_UPLOADER_AWS_ENV_H
#define AMIWRIGHT_UPLOADER_AWS_ENV_H

#include <stdint.h>

/*
 * Looks a variable up: the value or NULL (borrowed). Must allow calls from any thread: nothing
 * changes the environment of this program.
 */
struct aws_env {
	const char *(*get)(void *arg, const char *name);
	void *arg;
};

/* The value of a variable that is set and not empty, else NULL. */
const char *aws_env_get(const struct aws_env *env, const char *name);

struct aws_clock {
	int64_t (*wall_s)(void *arg);       /* seconds since 1970 */
	uint64_t (*monotonic_ms)(void *arg);
	double (*random)(void *arg);        /* [0, 1) */
	void *arg;
};

#endif
