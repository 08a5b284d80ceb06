/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tests' AWS client.
 */
#include "tests/lib/awsclient.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct aws_clock face;

static int64_t wall_s(void *arg)
{
	const struct test_clock *c = arg;

	return (int64_t)time(NULL) + c->wall_offset_s;
}

static uint64_t monotonic_ms(void *arg)
{
	const struct test_clock *c = arg;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 +
	       __atomic_load_n(&c->passed_ms, __ATOMIC_SEQ_CST);
}

static double next_random(void *arg)
{
	const struct test_clock *c = arg;

	return c->random;
}

struct aws *test_client(const char *url, struct test_clock *clock)
{
	return test_client_in(url, "us-east-1", clock);
}

struct aws *test_client_in(const char *url, const char *region, struct test_clock *clock)
{
	char key[] = "AKIDEXAMPLE", secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
	struct aws_opts opts = {
		.region = region,
		.endpoint = {url, url, url, url, url},
		.creds = {.access_key = key, .secret_key = secret},
		.clock = &face,
		.http = {.stall_ms = 1000},
	};

	face = (struct aws_clock){wall_s, monotonic_ms, next_random, clock};
	return aws_new(&opts, NULL);
}
