/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trouble on demand, so that a client's patience can be rehearsed: faults by chance, and rates that
 * a quota allows. Chance is a function of the seed and of the request's number alone, so that a
 * run with one connection repeats. Thread-safe.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_FAULTS_H
#define AMIWRIGHT_UPLOADER_REGION_FAULTS_H

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fault {
	FAULT_NONE,
	FAULT_THROTTLE,
	FAULT_ERROR,
	FAULT_RESET_BEFORE, /* the connection ends, and nothing was done */
	FAULT_RESET_AFTER,  /* the work is done, and nobody is told */
	FAULT_TRUNCATE,     /* half of the answer's body */
};

struct faults {
	uint32_t throttle, error, reset, truncate; /* of a million */
	uint32_t slow_ms;   /* before each answer */
	int64_t expire_s;   /* sessions last no longer; 0: as asked for */
	int64_t skew_s;     /* the service's clock is ahead by this */
	uint64_t seed;
	atomic_ullong drawn;
};

/*
 * "throttle=10%,error=5%,reset=2%,truncate=1%,slow=1s,expire=60s,skew=3600,seed=7", in any order;
 * NULL is none. ERROR_USAGE names the item.
 */
int faults_parse(struct faults *f, const char *text, struct error *err) MUST_CHECK;
/* What happens to the next request. */
enum fault faults_draw(struct faults *f);

enum quota_kind { QUOTA_PUT, QUOTA_GET, QUOTA_LIST, QUOTA_START, QUOTA_COMPLETE, QUOTA_EC2, QUOTA_S3, QUOTA_NR };

enum { QUOTA_BUCKETS = 256 };

/* A bucket for each kind, account and Region: it holds what a second allows. */
struct quotas {
	uint32_t rate[QUOTA_NR]; /* a second; 0: any */
	pthread_mutex_t lock;
	struct quota_bucket {
		char account[13], region[32];
		enum quota_kind kind;
		uint64_t thousandths, filled_ms;
	} buckets[QUOTA_BUCKETS];
	size_t nr;
};

/* "put=1000,get=1000,list=50,start=10,complete=10,ec2=100,s3=100"; NULL is none. */
int quotas_parse(struct quotas *q, const char *text, struct error *err) MUST_CHECK;
void quotas_release(struct quotas *q);
/* Whether one more request is allowed now (monotonic ms), which is then counted. */
bool quotas_take(struct quotas *q, enum quota_kind kind, const char *account, const char *region,
	uint64_t now_ms);

#endif
