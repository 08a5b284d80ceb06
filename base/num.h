/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overflow-checked arithmetic, and numbers and byte sizes in text. Nothing here depends on the
 * locale.
 */
#ifndef AMIWRIGHT_BASE_NUM_H
#define AMIWRIGHT_BASE_NUM_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* True, and *out untouched, when the exact result does not fit. */
bool num_add(uint64_t a, uint64_t b, uint64_t *out) MUST_CHECK;
bool num_mul(uint64_t a, uint64_t b, uint64_t *out) MUST_CHECK;

/* Next multiple of unit (> 0, any value) at or above v; true when that does not fit. */
bool num_round_up(uint64_t v, uint64_t unit, uint64_t *out) MUST_CHECK;

/* As num_round_up() for values that are known to be far from UINT64_MAX (asserted). */
uint64_t num_align(uint64_t v, uint64_t unit);

/* Ceiling of a / b, b > 0. */
uint64_t num_div_up(uint64_t a, uint64_t b);

/*
 * Decimal, or 0x… hexadecimal, or (num_parse_mode) octal text into a number of at most max. The
 * whole text must be a number: no sign, no space, no trailing text. ERROR_USAGE on anything else.
 */
int num_parse(const char *text, uint64_t max, uint64_t *out, struct error *err) MUST_CHECK;
int num_parse_mode(const char *text, uint32_t *out, struct error *err) MUST_CHECK;

/*
 * Byte sizes as people write them: "512", "512B", "512K", "512KiB", "1.5GiB", "20G". K M G T and
 * KiB MiB GiB TiB are powers of 1024; KB MB GB TB powers of 1000. Upper or lower case. A fraction
 * must come to whole bytes. ERROR_USAGE names the text and says the forms that are right.
 */
int num_parse_size(const char *text, uint64_t *bytes, struct error *err) MUST_CHECK;

enum { NUM_SIZE_TEXT = 32 };

/* "1.4 GiB", "512 KiB", "17 B": for people, rounded to 3 figures. Returns buf. */
const char *num_format_size(char buf[NUM_SIZE_TEXT], uint64_t bytes);

/*
 * UTC date and time "2026-11-23T08:59:54Z" (RFC 3339) from seconds since 1970; and back. The
 * reverse also takes fractions of a second (cut off) and numeric offsets. Returns buf.
 */
enum { NUM_TIME_TEXT = 48 };
const char *num_format_time(char buf[NUM_TIME_TEXT], int64_t seconds);
int num_parse_time(const char *text, int64_t *seconds, struct error *err) MUST_CHECK;

/* Little- and big-endian loads and stores for on-disk and on-wire fields; no alignment needed. */
static inline uint16_t num_get_le16(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t num_get_le32(const void *p)
{
	const uint8_t *b = p;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t num_get_le64(const void *p)
{
	const uint8_t *b = p;
	return (uint64_t)num_get_le32(b) | (uint64_t)num_get_le32(b + 4) << 32;
}

static inline void num_put_le16(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void num_put_le32(void *p, uint32_t v)
{
	uint8_t *b = p;
	num_put_le16(b, (uint16_t)v);
	num_put_le16(b + 2, (uint16_t)(v >> 16));
}

static inline void num_put_le64(void *p, uint64_t v)
{
	uint8_t *b = p;
	num_put_le32(b, (uint32_t)v);
	num_put_le32(b + 4, (uint32_t)(v >> 32));
}

static inline uint32_t num_get_be32(const void *p)
{
	return __builtin_bswap32(num_get_le32(p));
}

static inline uint64_t num_get_be64(const void *p)
{
	return __builtin_bswap64(num_get_le64(p));
}

static inline void num_put_be16(void *p, uint16_t v)
{
	num_put_le16(p, __builtin_bswap16(v));
}

static inline void num_put_be32(void *p, uint32_t v)
{
	num_put_le32(p, __builtin_bswap32(v));
}

static inline void num_put_be64(void *p, uint64_t v)
{
	num_put_le64(p, __builtin_bswap64(v));
}

#endif
