/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An AWS client for unit tests: made-up credentials, a clock that the test holds, quick retries.
 */
#ifndef AMIWRIGHT_TESTS_AWSCLIENT_H
#define AMIWRIGHT_TESTS_AWSCLIENT_H

#include "uploader/aws.h"

struct test_clock {
	int64_t wall_offset_s; /* how far this "machine's" clock is off */
	uint64_t passed_ms;    /* how much more time has passed than really has; also set in a server's thread */
	double random;         /* what the source of randomness gives; small: quick retries */
};

/* All services at url. The clock is borrowed until aws_free(). */
struct aws *test_client(const char *url, struct test_clock *clock);

/* The same for another Region; url NULL: AWS's own endpoints, which are not to be asked. */
struct aws *test_client_in(const char *url, const char *region, struct test_clock *clock);

#endif
