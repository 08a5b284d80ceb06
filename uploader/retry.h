/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do after an attempt: pure functions of the answer and the attempt's number, without
 * clock, network or state. The classes follow the AWS SDKs' retry behaviour ("Retry behavior", AWS
 * SDKs and Tools Reference Guide) and the errors that the EBS direct APIs document.
 */
#ifndef AMIWRIGHT_UPLOADER_RETRY_H
#define AMIWRIGHT_UPLOADER_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum retry_class {
	RETRY_OK,        /* 2xx */
	RETRY_FATAL,     /* no attempt can help */
	RETRY_TRANSIENT, /* 5xx, timeouts, resets, a body cut on its way */
	RETRY_THROTTLED, /* the service asks for less */
	RETRY_FRESH,     /* our own new snapshot is not known yet */
	RETRY_SKEW,      /* looks like a wrong clock: decide by the measured skew */
};

/*
 * status 0: no whole answer. code and reason may be NULL; message helps to tell EBS's cases apart.
 */
enum retry_class retry_classify(int status, const char *code, const char *reason,
	const char *message, bool fresh_snapshot);

/*
 * Whether a call that failed for good with this answer may go well another day: the service's own
 * trouble, throttling, a slow link, credentials that have expired or are others by then. text: the
 * message, as for retry_classify(). False for status 0, but for credentials that could not
 * be renewed.
 */
bool retry_is_passing(int status, const char *code, const char *text);

/*
 * Full-jitter exponential backoff in ms before attempt `attempt` + 1 (attempt counts from 1):
 * random in [0,1) × min(cap 20 s, base × 2^(attempt - 1)); base 100 ms transient, 500 ms throttled,
 * 1 s fresh.
 */
unsigned retry_delay_ms(enum retry_class cls, unsigned attempt, double random);

#endif
