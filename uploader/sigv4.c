/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 in its header and query form. Each stage is a function of its arguments, so the
 * tests compare each with the published cases; nothing here knows a clock or a connection.
 *
 *   canonical request   METHOD \n PATH \n QUERY \n (name:value \n)... \n SIGNED \n PAYLOADHASH
 *   string to sign      AWS4-HMAC-SHA256 \n TIME \n DATE/REGION/SERVICE/aws4_request \n hex(sha256(canonical))
 *   key                 HMAC chain over DATE, REGION, SERVICE, "aws4_request", from "AWS4" + secret
 */
#include "uploader/sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/num.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

/*
 * A header with its place among the request's, which breaks ties: repeated names keep their order.
 */
struct ref {
	const struct sigv4_header *header;
	size_t place;
};

/* A query parameter: where its key and its value lie in the buffer of encoded text. */
struct param {
	size_t key, key_len, value, value_len;
	const struct buf *text;
};

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int compare_names(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '~';
}

/* Headers that a proxy or the HTTP library may add or change, so that they are never signed. */
static bool is_unsigned(const char *name)
{
	static const char *const names[] = {
		"authorization", "connection", "expect", "keep-alive", "proxy-authenticate",
		"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
		"upgrade", "user-agent", "x-amzn-trace-id",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (compare_names(name, names[i]) == 0)
			return true;
	}
	return false;
}

void sigv4_scope_time(struct sigv4_scope *scope, int64_t now)
{
	time_t t = (time_t)now;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		memset(&tm, 0, sizeof(tm));
	strftime(scope->date, sizeof(scope->date), "%Y%m%d", &tm);
	strftime(scope->time, sizeof(scope->time), "%Y%m%dT%H%M%SZ", &tm);
}

int sigv4_encode(struct buf *out, const char *text, size_t len, bool keep_slash, struct error *err)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t start = out->len, used = 0;
	char *to;

	if (len == 0)
		return buf_add(out, "", 0, err);
	to = buf_extend(out, 3 * len, err);
	if (!to)
		return -1;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (is_unreserved(text[i]) || (keep_slash && c == '/')) {
			to[used++] = text[i];
			continue;
		}
		to[used++] = '%';
		to[used++] = digits[c >> 4];
		to[used++] = digits[c & 15];
	}
	buf_truncate(out, start + used);
	return 0;
}

/* Drops "." and empty segments, lets ".." take its parent away, keeps a slash at the end. */
static size_t normalise_path(const char *path, char *out)
{
	size_t len = 0;
	const char *p = path;

	while (*p) {
		size_t n = strcspn(p, "/");

		if (n == 2 && p[0] == '.' && p[1] == '.') {
			while (len > 0 && out[--len] != '/')
				;
		} else if (n > 0 && !(n == 1 && p[0] == '.')) {
			out[len++] = '/';
			memcpy(out + len, p, n);
			len += n;
		}
		p += n;
		if (*p == '/')
			p++;
	}
	if (len == 0 || (p > path && p[-1] == '/'))
		out[len++] = '/';
	return len;
}

static int add_path(const struct sigv4_request *req, struct buf *out, struct error *err)
{
	CLEANUP_FREE char *path = NULL;

	if (req->s3_path)
		return buf_add_str(out, req->path[0] ? req->path : "/", err);
	path = malloc(strlen(req->path) + 2);
	if (!path)
		return error_nomem(err, "canonical path");
	return sigv4_encode(out, path, normalise_path(req->path, path), true, err);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Percent-decodes and encodes again, so that any way of writing a parameter gives the same text. */
static int recode(struct buf *out, const char *text, size_t len, struct error *err)
{
	CLEANUP_FREE char *plain = malloc(len + 1);
	size_t n = 0;

	if (!plain)
		return error_nomem(err, "query parameter");
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && i + 2 < len && hex_value(text[i + 1]) >= 0 &&
		    hex_value(text[i + 2]) >= 0) {
			plain[n++] = (char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
			i += 2;
		} else {
			plain[n++] = text[i];
		}
	}
	return sigv4_encode(out, plain, n, false, err);
}

static int compare_text(const struct buf *text, size_t a, size_t a_len, size_t b, size_t b_len)
{
	int diff = memcmp(text->data + a, text->data + b, MIN(a_len, b_len));

	if (diff != 0)
		return diff;
	return (a_len > b_len) - (a_len < b_len);
}

/* By key, then by value: comparing "key=value" as a whole would sort "a=" after "a-b=". */
static int compare_params(const void *pa, const void *pb)
{
	const struct param *a = pa, *b = pb;
	int diff = compare_text(a->text, a->key, a->key_len, b->key, b->key_len);

	if (diff == 0)
		diff = compare_text(a->text, a->value, a->value_len, b->value, b->value_len);
	return diff;
}

/* Reads one parameter at text (up to '&' or the end) into *p; *len gets what it took. */
static int read_param(const char *text, struct param *p, struct buf *encoded, size_t *len,
	struct error *err)
{
	size_t all = strcspn(text, "&"), key = strcspn(text, "=&");

	p->text = encoded;
	p->key = encoded->len;
	if (recode(encoded, text, key, err) < 0)
		return -1;
	p->key_len = encoded->len - p->key;
	p->value = encoded->len;
	if (key < all && recode(encoded, text + key + 1, all - key - 1, err) < 0)
		return -1;
	p->value_len = encoded->len - p->value;
	*len = all;
	return 0;
}

static int add_query(const char *query, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf encoded = BUF_INIT(0);
	CLEANUP_FREE struct param *params = NULL;
	size_t max = 1, nr = 0;

	if (!query || !query[0])
		return 0;
	for (const char *p = query; *p; p++)
		max += *p == '&';
	params = calloc(max, sizeof(*params));
	if (!params)
		return error_nomem(err, "query parameters");
	for (const char *p = query; *p;) {
		size_t len;

		if (*p == '&') {
			p++;
			continue;
		}
		if (read_param(p, &params[nr++], &encoded, &len, err) < 0)
			return -1;
		p += len;
	}
	qsort(params, nr, sizeof(*params), compare_params);
	for (size_t i = 0; i < nr; i++) {
		const struct param *p = &params[i];

		if ((i > 0 && buf_add_char(out, '&', err) < 0) ||
		    buf_add(out, encoded.data + p->key, p->key_len, err) < 0 ||
		    buf_add_char(out, '=', err) < 0 ||
		    buf_add(out, encoded.data + p->value, p->value_len, err) < 0)
			return -1;
	}
	return 0;
}

static int compare_refs(const void *pa, const void *pb)
{
	const struct ref *a = pa, *b = pb;
	int diff = compare_names(a->header->name, b->header->name);

	return diff ? diff : (a->place > b->place) - (a->place < b->place);
}

/* The headers that count, in canonical order; the caller frees. */
static struct ref *sorted_headers(const struct sigv4_request *req, size_t *nr, struct error *err)
{
	struct ref *refs = calloc(req->nr_headers + 1, sizeof(*refs));

	*nr = 0;
	if (!refs) {
		error_nomem(err, "headers to sign");
		return NULL;
	}
	for (size_t i = 0; i < req->nr_headers; i++) {
		if (is_unsigned(req->headers[i].name))
			continue;
		refs[*nr].header = &req->headers[i];
		refs[(*nr)++].place = i;
	}
	qsort(refs, *nr, sizeof(*refs), compare_refs);
	return refs;
}

static int add_lower(struct buf *out, const char *name, struct error *err)
{
	size_t len = strlen(name);
	char *to = buf_extend(out, len, err);

	if (!to)
		return -1;
	for (size_t i = 0; i < len; i++)
		to[i] = lower(name[i]);
	return 0;
}

/* Without spaces at the ends, inner runs of them (folded lines too) as one. */
static int add_value(struct buf *out, const char *value, struct error *err)
{
	size_t start = out->len, len = strlen(value), used = 0;
	char *to = buf_extend(out, len, err);

	if (!to)
		return -1;
	for (size_t i = 0; i < len; i++) {
		if (!is_space(value[i]))
			to[used++] = value[i];
		else if (used > 0 && to[used - 1] != ' ')
			to[used++] = ' ';
	}
	if (used > 0 && to[used - 1] == ' ')
		used--;
	buf_truncate(out, start + used);
	return 0;
}

static bool repeats(const struct ref *refs, size_t i)
{
	return i > 0 && compare_names(refs[i - 1].header->name, refs[i].header->name) == 0;
}

static int add_headers(const struct ref *refs, size_t nr, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < nr; i++) {
		if (repeats(refs, i)) {
			if (buf_add_char(out, ',', err) < 0)
				return -1;
		} else if ((i > 0 && buf_add_char(out, '\n', err) < 0) ||
			   add_lower(out, refs[i].header->name, err) < 0 ||
			   buf_add_char(out, ':', err) < 0) {
			return -1;
		}
		if (add_value(out, refs[i].header->value, err) < 0)
			return -1;
	}
	return nr > 0 ? buf_add_char(out, '\n', err) : 0;
}

static int add_signed_names(const struct ref *refs, size_t nr, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < nr; i++) {
		if (repeats(refs, i))
			continue;
		if ((i > 0 && buf_add_char(out, ';', err) < 0) ||
		    add_lower(out, refs[i].header->name, err) < 0)
			return -1;
	}
	return 0;
}

int sigv4_signed_headers(const struct sigv4_request *req, struct buf *out, struct error *err)
{
	size_t nr;
	CLEANUP_FREE struct ref *refs = sorted_headers(req, &nr, err);

	return refs ? add_signed_names(refs, nr, out, err) : -1;
}

int sigv4_canonical_request(const struct sigv4_request *req, struct buf *out, struct error *err)
{
	size_t nr;
	CLEANUP_FREE struct ref *refs = sorted_headers(req, &nr, err);

	if (!refs || buf_add_str(out, req->method, err) < 0 || buf_add_char(out, '\n', err) < 0 ||
	    add_path(req, out, err) < 0 || buf_add_char(out, '\n', err) < 0 ||
	    add_query(req->query, out, err) < 0 || buf_add_char(out, '\n', err) < 0 ||
	    add_headers(refs, nr, out, err) < 0 || buf_add_char(out, '\n', err) < 0 ||
	    add_signed_names(refs, nr, out, err) < 0)
		return -1;
	return buf_addf(out, err, "\n%s", req->payload_hash);
}

int sigv4_string_to_sign(const struct sigv4_scope *scope, const char *canonical, struct buf *out,
	struct error *err)
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (sha256(canonical, strlen(canonical), digest, err) < 0)
		return -1;
	return buf_addf(out, err, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", scope->time,
		scope->date, scope->region, scope->service, hex_encode(hex, digest, sizeof(digest)));
}

int sigv4_signing_key(const char *secret, const struct sigv4_scope *scope, uint8_t key[SHA256_SIZE],
	struct error *err)
{
	const char *const parts[] = {scope->date, scope->region, scope->service, "aws4_request"};
	char *start = buf_strf(err, "AWS4%s", secret);
	uint8_t from[SHA256_SIZE];
	int ret;

	if (!start)
		return -1;
	ret = hmac_sha256(start, strlen(start), parts[0], strlen(parts[0]), key, err);
	for (size_t i = 1; ret == 0 && i < ARRAY_SIZE(parts); i++) {
		memcpy(from, key, sizeof(from));
		ret = hmac_sha256(from, sizeof(from), parts[i], strlen(parts[i]), key, err);
	}
	explicit_bzero(start, strlen(start));
	explicit_bzero(from, sizeof(from));
	free(start);
	return ret;
}

int sigv4_signature(const uint8_t key[SHA256_SIZE], const char *string_to_sign,
	char hex[SHA256_HEX_SIZE], struct error *err)
{
	uint8_t mac[SHA256_SIZE];

	if (hmac_sha256(key, SHA256_SIZE, string_to_sign, strlen(string_to_sign), mac, err) < 0)
		return -1;
	hex_encode(hex, mac, sizeof(mac));
	return 0;
}

int sigv4_authorization(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const uint8_t key[SHA256_SIZE], struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf canonical = BUF_INIT(0), text = BUF_INIT(0);
	char signature[SHA256_HEX_SIZE];

	if (sigv4_canonical_request(req, &canonical, err) < 0 ||
	    sigv4_string_to_sign(scope, buf_str(&canonical), &text, err) < 0 ||
	    sigv4_signature(key, buf_str(&text), signature, err) < 0)
		return -1;
	if (buf_addf(out, err, ALGORITHM " Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=",
		    access_key, scope->date, scope->region, scope->service) < 0 ||
	    sigv4_signed_headers(req, out, err) < 0)
		return -1;
	return buf_addf(out, err, ", Signature=%s", signature);
}

static int add_presign_query(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const char *token, unsigned expires_s, struct buf *out,
	struct error *err)
{
	CLEANUP_BUF struct buf names = BUF_INIT(0);

	if (buf_addf(out, err, "%s%sX-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=", req->query,
		    req->query[0] ? "&" : "") < 0 ||
	    sigv4_encode(out, access_key, strlen(access_key), false, err) < 0 ||
	    buf_addf(out, err, "%%2F%s%%2F%s%%2F%s%%2Faws4_request&X-Amz-Date=%s&X-Amz-Expires=%u",
		    scope->date, scope->region, scope->service, scope->time, expires_s) < 0)
		return -1;
	if (token && (buf_add_str(out, "&X-Amz-Security-Token=", err) < 0 ||
			     sigv4_encode(out, token, strlen(token), false, err) < 0))
		return -1;
	if (sigv4_signed_headers(req, &names, err) < 0 ||
	    buf_add_str(out, "&X-Amz-SignedHeaders=", err) < 0)
		return -1;
	return sigv4_encode(out, buf_str(&names), names.len, false, err);
}

int sigv4_presign(const struct sigv4_request *req, const struct sigv4_scope *scope,
	const char *access_key, const char *token, const uint8_t key[SHA256_SIZE], unsigned expires_s,
	struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf query = BUF_INIT(0), canonical = BUF_INIT(0), text = BUF_INIT(0);
	struct sigv4_request whole = *req;
	char signature[SHA256_HEX_SIZE];

	if (add_presign_query(req, scope, access_key, token, expires_s, &query, err) < 0)
		return -1;
	whole.query = buf_str(&query);
	if (sigv4_canonical_request(&whole, &canonical, err) < 0 ||
	    sigv4_string_to_sign(scope, buf_str(&canonical), &text, err) < 0 ||
	    sigv4_signature(key, buf_str(&text), signature, err) < 0)
		return -1;
	return buf_addf(out, err, "%s&X-Amz-Signature=%s", buf_str(&query), signature);
}
