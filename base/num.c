/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked arithmetic and the text forms of numbers, byte sizes and times. All integer arithmetic:
 * no floating point, no strtol family, no strftime, so neither rounding nor the locale can change a
 * result.
 */
#include "base/num.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool num_add(uint64_t a, uint64_t b, uint64_t *out)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return true;
	*out = sum;
	return false;
}

bool num_mul(uint64_t a, uint64_t b, uint64_t *out)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return true;
	*out = product;
	return false;
}

bool num_round_up(uint64_t v, uint64_t unit, uint64_t *out)
{
	uint64_t over = v % unit;

	if (over == 0) {
		*out = v;
		return false;
	}
	return num_add(v, unit - over, out);
}

uint64_t num_align(uint64_t v, uint64_t unit)
{
	uint64_t aligned = 0;
	bool overflow = num_round_up(v, unit, &aligned);

	assert(!overflow);
	(void)overflow;
	return aligned;
}

uint64_t num_div_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}

/* The digit's value, or base or more when it is none. */
static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 99;
}

/*
 * Reads digits up to the first character that is none; *end is there. True when there are none or
 * they overflow.
 */
static bool parse_digits(const char *text, unsigned base, const char **end, uint64_t *out)
{
	uint64_t value = 0;
	const char *p = text;

	for (; digit_value(*p) < base; p++) {
		if (num_mul(value, base, &value) || num_add(value, digit_value(*p), &value))
			return true;
	}
	*end = p;
	*out = value;
	return p == text;
}

int num_parse(const char *text, uint64_t max, uint64_t *out, struct error *err)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	const char *digits = hex ? text + 2 : text;
	const char *end = digits;
	uint64_t value = 0;

	if (digits[0] == '\0' ||
		digits[strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789")])
		return error_set(err, ERROR_USAGE, 0, "'%s' is not a number", text);
	if (parse_digits(digits, hex ? 16 : 10, &end, &value) || value > max)
		return error_set(err, ERROR_USAGE, 0, "'%s' is too large, the largest is %llu",
			text, (unsigned long long)max);
	*out = value;
	return 0;
}

int num_parse_mode(const char *text, uint32_t *out, struct error *err)
{
	const char *end = text;
	uint64_t value = 0;

	if (parse_digits(text, 8, &end, &value) || *end != '\0' || value > 07777)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is not a mode, write octal digits from 0 to 7777", text);
	*out = (uint32_t)value;
	return 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Bytes in a unit: "", "B", "k", "KiB", "kb" … in any case; 0 when it is none. */
static uint64_t size_unit(const char *suffix)
{
	static const char letters[] = "kmgt";
	const char *letter;
	uint64_t unit = 1, step;

	if (suffix[0] == '\0' || (lower(suffix[0]) == 'b' && suffix[1] == '\0'))
		return 1;
	letter = strchr(letters, lower(suffix[0]));
	if (!letter)
		return 0;
	if (suffix[1] == '\0' ||
		(lower(suffix[1]) == 'i' && lower(suffix[2]) == 'b' && suffix[3] == '\0'))
		step = 1024;
	else if (lower(suffix[1]) == 'b' && suffix[2] == '\0')
		step = 1000;
	else
		return 0;
	for (const char *l = letters; l <= letter; l++)
		unit *= step;
	return unit;
}

/*
 * The bytes that ".digits" is of unit. True when that is no whole number. 19 digits are enough for
 * every fraction that somebody types; more would need more than 128 bits.
 */
static bool fraction_bytes(const char *digits, size_t len, uint64_t unit, uint64_t *bytes)
{
	unsigned __int128 value = 0, scale = 1;

	while (len > 0 && digits[len - 1] == '0')
		len--;
	if (len > 19)
		return true;
	for (size_t i = 0; i < len; i++) {
		value = value * 10 + digit_value(digits[i]);
		scale *= 10;
	}
	value *= unit;
	*bytes = (uint64_t)(value / scale);
	return value % scale != 0;
}

int num_parse_size(const char *text, uint64_t *bytes, struct error *err)
{
	size_t whole_len = strspn(text, "0123456789"), fraction_len = 0;
	const char *suffix = text + whole_len, *fraction = suffix, *end;
	uint64_t whole, unit, part = 0;

	if (*suffix == '.') {
		fraction = suffix + 1;
		fraction_len = strspn(fraction, "0123456789");
		suffix = fraction + fraction_len;
	}
	unit = size_unit(suffix);
	if (whole_len == 0 || (suffix != text + whole_len && fraction_len == 0) || unit == 0)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is not a size, write it like 512, 512K, 1.5GiB or 20GB", text);
	if (fraction_bytes(fraction, fraction_len, unit, &part))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is not a whole number of bytes, use a smaller unit", text);
	if (parse_digits(text, 10, &end, &whole) || num_mul(whole, unit, &whole) ||
		num_add(whole, part, &whole))
		return error_set(
			err, ERROR_USAGE, 0, "'%s' is too large, sizes end below 16 EiB", text);
	*bytes = whole;
	return 0;
}

const char *num_format_size(char buf[NUM_SIZE_TEXT], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint64_t unit = 1;
	size_t i = 0;

	/* The next unit begins where this one would round to 1024. */
	while (i + 1 < ARRAY_SIZE(units) && bytes >= 1024 * unit - unit / 2) {
		unit *= 1024;
		i++;
	}
	if (bytes % unit == 0 || bytes / unit >= 100) {
		uint64_t whole = bytes / unit + (unit > 1 && bytes % unit >= unit / 2);

		snprintf(buf, NUM_SIZE_TEXT, "%llu %s", (unsigned long long)whole, units[i]);
	} else {
		unsigned __int128 tenths = ((unsigned __int128)bytes * 10 + unit / 2) / unit;

		snprintf(buf, NUM_SIZE_TEXT, "%u.%u %s", (unsigned)(tenths / 10),
			(unsigned)(tenths % 10), units[i]);
	}
	return buf;
}

enum { DAY_SECONDS = 86400, ERA_DAYS = 146097, ERA_YEARS = 400 };

/*
 * Days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that
 * the leap day is a year's last, in eras of 400 years (146,097 days) that all look the same.
 */
static int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - (ERA_YEARS - 1)) / ERA_YEARS;
	int64_t year_of_era = y - era * ERA_YEARS;
	int64_t day_of_year = (153 * (int64_t)((month + 9) % 12) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * ERA_DAYS + day_of_era - 719468;
}

static void date_of_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
	unsigned doe = (unsigned)(z - era * ERA_DAYS);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (int64_t)yoe + era * ERA_YEARS + (*month <= 2);
}

const char *num_format_time(char buf[NUM_TIME_TEXT], int64_t seconds)
{
	int64_t days = seconds / DAY_SECONDS, rest = seconds % DAY_SECONDS, year;
	unsigned month, day, s;

	if (rest < 0) {
		rest += DAY_SECONDS;
		days--;
	}
	s = (unsigned)rest;
	date_of_days(days, &year, &month, &day);
	snprintf(buf, NUM_TIME_TEXT, "%04lld-%02u-%02uT%02u:%02u:%02uZ", (long long)year, month,
		day, s / 3600, s / 60 % 60, s % 60);
	return buf;
}

/*
 * Exactly len digits of at most max at *p, and then the character `after` (0: none); moves *p
 * behind.
 */
static bool take(const char **p, unsigned len, unsigned max, char after, unsigned *out)
{
	unsigned value = 0;

	for (unsigned i = 0; i < len; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return true;
		value = value * 10 + digit_value(**p);
	}
	*out = value;
	if (value > max)
		return true;
	if (after == '\0')
		return false;
	return *(*p)++ != after;
}

/* "Z", "+02:00", "-0730" and the text's end; offset in seconds east of UTC. */
static bool take_zone(const char *p, int64_t *offset)
{
	unsigned hour, minute;
	int sign = *p == '-' ? -1 : 1;

	*offset = 0;
	if (lower(*p) == 'z')
		return p[1] != '\0';
	if (*p != '+' && *p != '-')
		return true;
	p++;
	if (take(&p, 2, 23, '\0', &hour))
		return true;
	if (*p == ':')
		p++;
	if (take(&p, 2, 59, '\0', &minute))
		return true;
	*offset = sign * (int64_t)(hour * 3600 + minute * 60);
	return *p != '\0';
}

static bool parse_time(const char *p, int64_t *seconds)
{
	static const unsigned char month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned year, month, day, hour, minute, second;
	int64_t offset;
	bool leap;

	if (take(&p, 4, 9999, '-', &year) || take(&p, 2, 12, '-', &month) ||
		take(&p, 2, 31, '\0', &day) || lower(*p++) != 't' || take(&p, 2, 23, ':', &hour) ||
		take(&p, 2, 59, ':', &minute) || take(&p, 2, 60, '\0', &second))
		return true;
	leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	if (month == 0 || day == 0 || day > month_days[month - 1] ||
		(month == 2 && day == 29 && !leap))
		return true;
	if (*p == '.') {
		size_t len = strspn(p + 1, "0123456789");

		if (len == 0)
			return true;
		p += 1 + len;
	}
	if (take_zone(p, &offset))
		return true;
	*seconds = days_of_date(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 +
		   second - offset;
	return false;
}

int num_parse_time(const char *text, int64_t *seconds, struct error *err)
{
	if (parse_time(text, seconds))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is not a time, write it like 2026-11-23T08:59:54Z", text);
	return 0;
}
