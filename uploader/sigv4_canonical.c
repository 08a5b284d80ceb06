/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical request of Signature Version 4: the one text that any way of writing a request comes
 * to, so that both ends get it whatever lies between them. Paths are normalised and encoded (not
 * S3's), parameters recoded and sorted, headers in lower case, sorted and without idle spaces.
 */
#include "uploader/sigv4.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

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

/* Percent-decodes and encodes again, so that any way of writing a parameter gives the same text. */
static int recode(struct buf *out, const char *text, size_t len, struct error *err)
{
	CLEANUP_FREE char *plain = malloc(len + 1);
	size_t n = 0;

	if (!plain)
		return error_nomem(err, "query parameter");
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 &&
		    hex_digit(text[i + 2]) >= 0) {
			plain[n++] = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
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
