/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the local region by itself: bench_region DIR [PORT [DELAY_MS]]. Prints its endpoint, serves
 * until SIGINT or SIGTERM, then prints the CPU seconds that serving took; so the server's cost can
 * be told from a client's.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/region/region.h"

static int64_t wall_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

static int random_bytes(void *buf, size_t len)
{
	return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -1;
}

static int fail(const struct error *err)
{
	fprintf(stderr, "bench_region: %s\n", err->text);
	return 1;
}

int main(int argc, char **argv)
{
	struct region_opts opts = {.wall_s = wall_s, .random = random_bytes};
	CLEANUP(region_cleanup) struct region *r = NULL;
	struct error err = ERROR_INIT;
	uint64_t port = 0, delay = 0;
	struct rusage use;
	sigset_t stop;
	int sig;

	if (argc < 2 || argc > 4 || (argc > 2 && num_parse(argv[2], 65535, &port, &err) < 0) ||
	    (argc > 3 && num_parse(argv[3], 600000, &delay, &err) < 0)) {
		fprintf(stderr, "usage: bench_region DIR [PORT [DELAY_MS]]\n");
		return 2;
	}
	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	opts.port = (uint16_t)port;
	opts.complete_delay_ms = (unsigned)delay;
	r = region_start(argv[1], &opts, &err);
	if (!r)
		return fail(&err);
	printf("%s\n", region_endpoint(r));
	fflush(stdout);
	sigwait(&stop, &sig);
	getrusage(RUSAGE_SELF, &use);
	fprintf(stderr, "bench_region: user %ld.%03ld s, system %ld.%03ld s, peak %ld KiB\n",
		(long)use.ru_utime.tv_sec, (long)use.ru_utime.tv_usec / 1000,
		(long)use.ru_stime.tv_sec, (long)use.ru_stime.tv_usec / 1000, use.ru_maxrss);
	return 0;
}
