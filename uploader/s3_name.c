/* SPDX-License-Identifier: Apache-2.0 */
/* Names of buckets and keys, judged before anything is asked. */
#include "uploader/s3.h"

#include <stdlib.h>
#include <string.h>

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

/* "192.0.2.1": four numbers, whatever they are. */
static bool is_address(const char *name)
{
	size_t dots = 0;

	for (const char *p = name; *p; p++)
		dots += *p == '.';
	return dots == 3 && strspn(name, "0123456789.") == strlen(name);
}

static bool is_reserved(const char *name)
{
	static const char *const starts[] = {"xn--", "sthree-", "amzn-s3-demo-", NULL};
	static const char *const ends[] = {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", NULL};
	size_t len = strlen(name);

	for (const char *const *s = starts; *s; s++)
		if (strncmp(name, *s, strlen(*s)) == 0)
			return true;
	for (const char *const *e = ends; *e; e++)
		if (len >= strlen(*e) && strcmp(name + len - strlen(*e), *e) == 0)
			return true;
	return false;
}

int s3_check_name(const char *bucket, struct error *err)
{
	size_t len = strlen(bucket);

	if (len < 3 || len >= S3_NAME_SIZE)
		return error_set(err, ERROR_USAGE, 0,
			"bucket name '%s' has %zu characters: S3 takes 3 to 63", bucket, len);
	if (strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len)
		return error_set(err, ERROR_USAGE, 0,
			"bucket name '%s' has characters other than a-z, 0-9, '.' and '-'", bucket);
	if (!strchr(letters, bucket[0]) || !strchr(letters, bucket[len - 1]) || strstr(bucket, "..") ||
	    is_address(bucket))
		return error_set(err, ERROR_USAGE, 0,
			"bucket name '%s' is none: it begins and ends with a letter or digit, has no two dots "
			"together, and is no IP address",
			bucket);
	if (is_reserved(bucket))
		return error_set(err, ERROR_USAGE, 0,
			"bucket name '%s' begins or ends with what S3 keeps for itself", bucket);
	return 0;
}

/* Length of the UTF-8 character at s; 0 when it is none. */
static size_t character(const unsigned char *s)
{
	size_t len = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 :
			     *s >= 0xf0 && *s < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

int s3_check_key(const char *key, struct error *err)
{
	size_t len = strlen(key), step;

	if (len == 0 || len > S3_KEY_MAX)
		return error_set(err, ERROR_USAGE, 0, "key '%.100s' has %zu bytes: S3 takes 1 to %d", key, len,
			S3_KEY_MAX);
	if (key[0] == '/')
		return error_set(err, ERROR_USAGE, 0,
			"key '%.100s' begins with '/': leave that out, a bucket has no root", key);
	for (const char *p = key; *p; p += step) {
		step = character((const unsigned char *)p);
		if (step == 0 || (unsigned char)*p < 0x20 || *p == 0x7f)
			return error_set(err, ERROR_USAGE, 0,
				"key '%.100s' has control characters or is no UTF-8", key);
	}
	return 0;
}

int s3_url_parse(const char *text, struct s3_url *out, struct error *err)
{
	const char *rest = strncmp(text, "s3://", 5) == 0 ? text + 5 : text;
	size_t len = strcspn(rest, "/");

	memset(out, 0, sizeof(*out));
	if (strstr(rest, "://") || len == 0)
		return error_set(err, ERROR_USAGE, 0, "'%s' is no place in S3: use s3://BUCKET/PREFIX", text);
	if (len >= sizeof(out->bucket))
		return error_set(err, ERROR_USAGE, 0,
			"bucket name '%.*s' has %zu characters: S3 takes 3 to 63", (int)len, rest, len);
	memcpy(out->bucket, rest, len);
	rest += len + (rest[len] == '/');
	if (s3_check_name(out->bucket, err) < 0 || (*rest && s3_check_key(rest, err) < 0))
		return -1;
	out->key = buf_strf(err, "%s", rest);
	return out->key ? 0 : -1;
}

void s3_url_release(struct s3_url *u)
{
	free(u->key);
	memset(u, 0, sizeof(*u));
}
