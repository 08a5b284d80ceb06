/* SPDX-License-Identifier: Apache-2.0 */
/* Faults by a hash of seed and number; quotas by token buckets in thousandths of a request. */
#include "uploader/region/faults.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum { MILLION = 1000000, SPEC_SIZE = 512, RATE_MAX = 1000000, SLOW_MAX_S = 600,
	SKEW_MAX_S = 10 * 366 * 86400 };

/* "10%", "0.25%" in millionths. */
static bool parse_share(const char *text, uint32_t *out)
{
	char whole[16];
	size_t len = strcspn(text, ".%"), digits = 0;
	uint64_t value, fraction = 0;

	if (len == 0 || len >= sizeof(whole))
		return true;
	memcpy(whole, text, len);
	whole[len] = '\0';
	if (num_parse(whole, 100, &value, NULL) < 0)
		return true;
	text += len;
	if (*text == '.')
		for (text++; digits < 4; digits++)
			fraction = fraction * 10 +
				   (*text >= '0' && *text <= '9' ? (uint64_t)(*text++ - '0') : 0);
	if (strcmp(text, "%") != 0)
		return true;
	value = value * 10000 + fraction;
	*out = (uint32_t)value;
	return value > MILLION;
}

/* "1s", "500ms", "2m", "60" (seconds) in milliseconds. */
static bool parse_time(const char *text, uint64_t *out)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}};
	size_t len = strspn(text, "0123456789");
	char number[16];

	if (len == 0 || len >= sizeof(number))
		return true;
	memcpy(number, text, len);
	number[len] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(text + len, units[i].unit) != 0)
			continue;
		if (num_parse(number, INT32_MAX, out, NULL) < 0)
			return true;
		*out *= units[i].ms;
		return false;
	}
	return true;
}

/* One item of --faults; true when it is none. */
static bool fault_item(struct faults *f, const char *name, const char *value)
{
	const struct {
		const char *name;
		uint32_t *share;
	} shares[] = {{"throttle", &f->throttle}, {"error", &f->error}, {"reset", &f->reset},
		{"truncate", &f->truncate}};
	uint64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
		if (strcmp(name, shares[i].name) == 0)
			return parse_share(value, shares[i].share);
	if (strcmp(name, "seed") == 0)
		return num_parse(value, UINT64_MAX, &f->seed, NULL) < 0;
	if (parse_time(*value == '-' ? value + 1 : value, &ms))
		return true;
	if (strcmp(name, "skew") == 0 && ms / 1000 <= SKEW_MAX_S) {
		f->skew_s = (int64_t)(ms / 1000) * (*value == '-' ? -1 : 1);
		return false;
	}
	if (*value == '-')
		return true;
	if (strcmp(name, "slow") == 0 && ms <= SLOW_MAX_S * 1000) {
		f->slow_ms = (uint32_t)ms;
		return false;
	}
	f->expire_s = (int64_t)(ms / 1000);
	return strcmp(name, "expire") != 0 || f->expire_s == 0;
}

static bool quota_item(struct quotas *q, const char *name, const char *value)
{
	static const char *const names[QUOTA_NR] = {[QUOTA_PUT] = "put", [QUOTA_GET] = "get",
		[QUOTA_LIST] = "list", [QUOTA_START] = "start", [QUOTA_COMPLETE] = "complete",
		[QUOTA_EC2] = "ec2", [QUOTA_S3] = "s3"};
	uint64_t rate;

	for (size_t i = 0; i < QUOTA_NR; i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		if (num_parse(value, RATE_MAX, &rate, NULL) < 0 || rate == 0)
			return true;
		q->rate[i] = (uint32_t)rate;
		return false;
	}
	return true;
}

/* name=value,name=value …; item tells by true that one is wrong. */
static int parse_items(const char *text, const char *option, const char *example,
	bool (*item)(void *arg, const char *name, const char *value), void *arg, struct error *err)
{
	char copy[SPEC_SIZE], *rest = copy, *one;

	if (strlen(text) >= sizeof(copy))
		return error_set(err, ERROR_USAGE, 0, "%s has more than %d characters", option,
			SPEC_SIZE - 1);
	memcpy(copy, text, strlen(text) + 1);
	while ((one = strsep(&rest, ","))) {
		char *value = strchr(one, '=');

		if (value)
			*value++ = '\0';
		if (!value || item(arg, one, value))
			return error_set(err, ERROR_USAGE, 0, "%s: '%s%s%s' is not right: %s", option, one,
				value ? "=" : "", value ? value : "", example);
	}
	return 0;
}

static bool fault_item_of(void *arg, const char *name, const char *value)
{
	return fault_item(arg, name, value);
}

static bool quota_item_of(void *arg, const char *name, const char *value)
{
	return quota_item(arg, name, value);
}

int faults_parse(struct faults *f, const char *text, struct error *err)
{
	*f = (struct faults){.seed = 0};
	if (!text)
		return 0;
	if (parse_items(text, "--faults",
		    "throttle=10%,error=5%,reset=2%,truncate=1%,slow=1s,expire=60s,skew=3600,seed=7 is",
		    fault_item_of, f, err) < 0)
		return -1;
	if ((uint64_t)f->throttle + f->error + f->reset + f->truncate > MILLION)
		return error_set(err, ERROR_USAGE, 0,
			"--faults: throttle, error, reset and truncate are more than 100%% together");
	return 0;
}

/* splitmix64: each bit of the result depends on all of the number. */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

enum fault faults_draw(struct faults *f)
{
	uint64_t drawn = mix(mix(f->seed) ^ atomic_fetch_add(&f->drawn, 1));
	uint32_t at = (uint32_t)(drawn % MILLION);

	if (at < f->throttle)
		return FAULT_THROTTLE;
	at -= f->throttle;
	if (at < f->error)
		return FAULT_ERROR;
	at -= f->error;
	if (at < f->reset)
		return drawn >> 63 ? FAULT_RESET_AFTER : FAULT_RESET_BEFORE;
	at -= f->reset;
	return at < f->truncate ? FAULT_TRUNCATE : FAULT_NONE;
}

int quotas_parse(struct quotas *q, const char *text, struct error *err)
{
	*q = (struct quotas){.nr = 0};
	pthread_mutex_init(&q->lock, NULL);
	if (!text)
		return 0;
	return parse_items(text, "--quota",
		"put=1000,get=1000,list=50,start=10,complete=10,ec2=100,s3=100 is", quota_item_of, q,
		err);
}

void quotas_release(struct quotas *q)
{
	pthread_mutex_destroy(&q->lock);
}

/* With the lock held. NULL when there are too many to keep: then nothing is limited. */
static struct quota_bucket *find_bucket(struct quotas *q, enum quota_kind kind, const char *account,
	const char *region, uint64_t now_ms)
{
	struct quota_bucket *b;

	for (size_t i = 0; i < q->nr; i++) {
		b = &q->buckets[i];
		if (b->kind == kind && strcmp(b->account, account) == 0 && strcmp(b->region, region) == 0)
			return b;
	}
	if (q->nr == QUOTA_BUCKETS)
		return NULL;
	b = &q->buckets[q->nr++];
	*b = (struct quota_bucket){.kind = kind, .filled_ms = now_ms,
		.thousandths = (uint64_t)q->rate[kind] * 1000};
	(void)snprintf(b->account, sizeof(b->account), "%s", account);
	(void)snprintf(b->region, sizeof(b->region), "%s", region);
	return b;
}

bool quotas_take(struct quotas *q, enum quota_kind kind, const char *account, const char *region,
	uint64_t now_ms)
{
	uint64_t rate = q->rate[kind], full = rate * 1000;
	struct quota_bucket *b;
	bool allowed = true;

	if (rate == 0)
		return true;
	pthread_mutex_lock(&q->lock);
	b = find_bucket(q, kind, account, region, now_ms);
	if (b) {
		/* A second fills it, so the product stays small. */
		if (now_ms > b->filled_ms) {
			uint64_t past = MIN(now_ms - b->filled_ms, UINT64_C(1000));

			b->thousandths = MIN(full, b->thousandths + past * rate);
			b->filled_ms = now_ms;
		}
		allowed = b->thousandths >= 1000;
		if (allowed)
			b->thousandths -= 1000;
	}
	pthread_mutex_unlock(&q->lock);
	return allowed;
}
