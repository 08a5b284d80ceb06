/* SPDX-License-Identifier: Apache-2.0 */
/* Durations and dates. */
#include "builder/duration.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

static int64_t unit_of(char letter)
{
	switch (letter) {
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	case 'y':
		return INT64_C(365) * 86400;
	default:
		return 0;
	}
}

int duration_parse(const char *text, int64_t *seconds, struct error *err)
{
	size_t len = strlen(text);
	int64_t unit = len ? unit_of(text[len - 1]) : 0;
	char number[16];
	uint64_t value = 0;

	if (unit && len < sizeof(number)) {
		snprintf(number, sizeof(number), "%.*s", (int)(len - 1), text);
		if (num_parse(number, 1000000, &value, NULL) < 0)
			value = 0;
	}
	if (!value)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is no span of time: write it like 90m, 36h, 30d, 6w or 2y", text);
	*seconds = (int64_t)value * unit;
	return 0;
}

int duration_parse_date(const char *text, int64_t *seconds, struct error *err)
{
	char whole[NUM_TIME_TEXT];

	snprintf(whole, sizeof(whole), "%s%s", text, strlen(text) == 10 ? "T00:00:00Z" : "");
	if (num_parse_time(whole, seconds, NULL) < 0)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is no point in time: write it like 2027-01-31 or 2027-01-31T12:00:00Z", text);
	return 0;
}
