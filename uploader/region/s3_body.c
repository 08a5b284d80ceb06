/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3: an upload's body. It lies in a file when the handler runs; here it goes to its place, out of
 * its chunks if it came in them, past MD5 and the checksums that were announced:
 *
 *   <hex length>[;chunk-signature=<hex>]\r\n <bytes> \r\n … 0[;…]\r\n [<trailer>:<value>\r\n …] \r\n
 *
 * Signed chunks each have a signature that the one before goes into, and the last trailer is the
 * signature of the others (sigv4_link()).
 */
#include "uploader/region/s3_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/hash_stream.h"
#include "base/num.h"
#include "uploader/region/token.h"

enum { PIECE = 256 * 1024, LINE_MAX_LEN = 512, CHUNK_MIN = 8192,
	LINK_SIZE = SHA256_HEX_SIZE + 1 /* one that is too long shows */ };

static const struct checksum {
	const char *name, *header;
	enum hash_kind kind;
} checksums[] = {
	{"sha256", "x-amz-checksum-sha256", HASH_SHA256},
	{"sha1", "x-amz-checksum-sha1", HASH_SHA1},
	{"crc32", "x-amz-checksum-crc32", HASH_CRC32},
	{"crc32c", "x-amz-checksum-crc32c", HASH_CRC32C},
	{"crc64nvme", "x-amz-checksum-crc64nvme", HASH_CRC64NVME},
};

/* The way of the bytes. */
struct intake {
	struct s3_ctx *c;
	uint64_t at, end;   /* of the spool file */
	int out;
	uint64_t written;
	struct hash_stream *md5, *sum;  /* sum NULL without a checksum */
	const struct checksum *which;
	char expected[64];  /* of the header or the trailer; "" until it comes */
	uint8_t *piece;
	struct sha256 *chunk;  /* of the chunk, then of the trailers; NULL: they are not signed */
	struct auth_seed seed; /* its signature: that of the chunk before */
};

void s3_content_release(struct s3_content *content)
{
	json_free(content->checksums);
	content->checksums = NULL;
}

bool s3_body_text(struct s3_ctx *c, struct buf *text, uint64_t max)
{
	const char *form = request_header(c->req, "x-amz-content-sha256");
	struct error err = ERROR_INIT;
	void *room;

	if (form && strncmp(form, "STREAMING-", 10) == 0)
		return s3_refuse(c, 501, "NotImplemented",
			"This region takes objects and parts in chunks, nothing else");
	if (!c->req->spooled)
		return buf_add(text, c->req->body ? c->req->body : "", c->req->body_len, &err) < 0 &&
		       s3_internal(c, &err);
	if (c->req->body_fd_len > max)
		return s3_refuse(c, 400, "MaxMessageLengthExceeded", "Your request was too big.");
	room = buf_extend(text, c->req->body_fd_len, &err);
	if (!room || file_pread_all(c->req->body_fd, room, c->req->body_fd_len, 0, "body", &err) < 0)
		return s3_internal(c, &err);
	return false;
}

static bool malformed(struct intake *in)
{
	return s3_refuse(in->c, 400, "IncompleteBody", "The chunks of the body are damaged or end early.");
}

/* len bytes from the spool to their place. */
static bool take_bytes(struct intake *in, uint64_t len)
{
	struct error err = ERROR_INIT;

	if (len > in->end - in->at)
		return malformed(in);
	while (len > 0) {
		size_t n = (size_t)MIN(len, (uint64_t)PIECE);

		if (file_pread_all(in->c->req->body_fd, in->piece, n, in->at, "body", &err) < 0 ||
		    file_pwrite_all(in->out, in->piece, n, in->written, "object", &err) < 0 ||
		    hash_stream_update(in->md5, in->piece, n, &err) < 0 ||
		    (in->sum && hash_stream_update(in->sum, in->piece, n, &err) < 0) ||
		    (in->chunk && sha256_update(in->chunk, in->piece, n, &err) < 0))
			return s3_internal(in->c, &err);
		in->at += n;
		in->written += n;
		len -= n;
	}
	return false;
}

/* A line of the chunked form, without its end. */
static bool take_line(struct intake *in, char line[LINE_MAX_LEN])
{
	size_t n = (size_t)MIN(in->end - in->at, (uint64_t)LINE_MAX_LEN - 1);
	struct error err = ERROR_INIT;
	char *stop;

	if (file_pread_all(in->c->req->body_fd, line, n, in->at, "body", &err) < 0)
		return s3_internal(in->c, &err);
	line[n] = '\0';
	stop = strstr(line, "\r\n");
	if (!stop)
		return malformed(in);
	*stop = '\0';
	in->at += (uint64_t)(stop - line) + 2;
	return false;
}

static bool parse_chunk_size(const char *line, uint64_t *size)
{
	size_t digits = strspn(line, "0123456789abcdefABCDEF");

	*size = 0;
	if (digits == 0 || digits > 10 || (line[digits] != '\0' && line[digits] != ';'))
		return true;
	for (size_t i = 0; i < digits; i++) {
		char digit = line[i];

		*size = *size * 16 + (uint64_t)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
	}
	return false;
}

/* Whether what was hashed since the last time has that signature. */
static bool check_link(struct intake *in, enum sigv4_link link, const char *sent)
{
	struct error err = ERROR_INIT;
	uint8_t digest[SHA256_SIZE];

	if (sha256_final(in->chunk, digest, &err) < 0 ||
	    sigv4_link(&in->seed.scope, in->seed.key, link, digest, in->seed.signature, &err) < 0)
		return s3_internal(in->c, &err);
	if (strlen(sent) == SHA256_HEX_SIZE - 1 && token_equal(in->seed.signature, sent, SHA256_HEX_SIZE - 1))
		return false;
	return s3_refuse(in->c, 403, "SignatureDoesNotMatch",
		"The signature of a %s of the body does not match the one that we calculated.",
		link == SIGV4_CHUNK ? "chunk" : "trailer");
}

/* A trailer as it is signed. */
static bool hash_trailer(struct intake *in, char *name, const char *value)
{
	CLEANUP_BUF struct buf text = BUF_INIT(LINE_MAX_LEN);
	struct error err = ERROR_INIT;

	for (char *at = name; *at; at++)
		*at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 32 : *at);
	return (buf_addf(&text, &err, "%s:%s\n", name, value) < 0 ||
		       sha256_update(in->chunk, text.data, text.len, &err) < 0) &&
	       s3_internal(in->c, &err);
}

/* One of them, cut at its colon; signature gets it if it is that of the others. */
static bool take_trailer(struct intake *in, char *name, char *value, char signature[LINK_SIZE])
{
	value += strspn(value, " \t");
	value[strcspn(value, " \t\n")] = '\0';
	if (in->chunk && strcasecmp(name, "x-amz-trailer-signature") == 0) {
		(void)snprintf(signature, LINK_SIZE, "%s", value);
		return false;
	}
	if (in->which && strcasecmp(name, in->which->header) == 0) {
		/* One that the head has is signed with it. */
		if (in->expected[0])
			return malformed(in);
		(void)snprintf(in->expected, sizeof(in->expected), "%s", value);
	}
	return in->chunk && (signature[0] ? malformed(in) : hash_trailer(in, name, value));
}

/* The checksum after the last chunk, and its signature. */
static bool take_trailers(struct intake *in, bool are_signed)
{
	char line[LINE_MAX_LEN], signature[LINK_SIZE] = "", *colon;

	for (;;) {
		if (take_line(in, line))
			return true;
		if (*line == '\0' && in->at != in->end)
			return malformed(in);
		if (*line == '\0')
			return are_signed && check_link(in, SIGV4_TRAILER, signature);
		colon = strchr(line, ':');
		if (!colon || (in->chunk && !are_signed))
			return malformed(in);
		*colon = '\0';
		if (take_trailer(in, line, colon + 1, signature))
			return true;
	}
}

/* The bytes of one, after its first line. */
static bool take_chunk(struct intake *in, uint64_t size, const char *line)
{
	static const char name[] = ";chunk-signature=";
	const char *sent = strstr(line, name);
	char end[LINE_MAX_LEN] = "";

	if (size > 0 && (take_bytes(in, size) || take_line(in, end)))
		return true;
	if (*end != '\0')
		return malformed(in);
	return in->chunk && check_link(in, SIGV4_CHUNK, sent ? sent + sizeof(name) - 1 : "");
}

static bool take_chunks(struct intake *in)
{
	uint64_t size, before = CHUNK_MIN;
	char line[LINE_MAX_LEN];

	do {
		if (take_line(in, line))
			return true;
		if (parse_chunk_size(line, &size))
			return malformed(in);
		if (size > 0 && before < CHUNK_MIN)
			return s3_refuse(in->c, 403, "InvalidChunkSizeError",
				"Only the last chunk is allowed to have a size less than %d bytes", CHUNK_MIN);
		if (take_chunk(in, size, line))
			return true;
		before = size;
	} while (size > 0);
	return false;
}

/* Which checksum the request brings, in a header or at its end. */
static void choose_checksum(struct intake *in)
{
	const char *trailer = request_header(in->c->req, "x-amz-trailer");

	for (size_t i = 0; i < ARRAY_SIZE(checksums) && !in->which; i++) {
		const char *value = request_header(in->c->req, checksums[i].header);

		if (!value && !(trailer && strcasecmp(trailer, checksums[i].header) == 0))
			continue;
		in->which = &checksums[i];
		(void)snprintf(in->expected, sizeof(in->expected), "%s", value ? value : "");
	}
}

/* The chunks are signed, the first one after the request. */
static bool begin_chain(struct intake *in)
{
	struct error err = ERROR_INIT;

	in->chunk = sha256_new(&err);
	if (in->chunk && auth_seed(&in->c->region->auth, AUTH_S3, in->c->req, in->c->signed_region, &in->seed))
		error_set(&err, ERROR_NOMEM, 0, "no key for signed chunks");
	return err.kind != ERROR_NONE && s3_internal(in->c, &err);
}

static bool take_all(struct intake *in)
{
	const char *form = request_header(in->c->req, "x-amz-content-sha256");
	const char *decoded = request_header(in->c->req, "x-amz-decoded-content-length");
	uint64_t want;
	bool trailer;

	if (!form || strncmp(form, "STREAMING-", 10) != 0)
		return take_bytes(in, in->end);
	trailer = strcmp(form, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") == 0;
	if (trailer || strcmp(form, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") == 0) {
		if (begin_chain(in))
			return true;
	} else if (strcmp(form, "STREAMING-UNSIGNED-PAYLOAD-TRAILER") != 0) {
		return s3_refuse(in->c, 501, "NotImplemented", "This region does not take chunks of the form %.60s",
			form);
	}
	if (take_chunks(in) || take_trailers(in, trailer))
		return true;
	if (!decoded || num_parse(decoded, INT64_MAX, &want, NULL) < 0 || want != in->written)
		return s3_refuse(in->c, 400, "IncompleteBody",
			"You did not provide the number of bytes specified by the x-amz-decoded-content-"
			"length HTTP header");
	return false;
}

static int text_of(const uint8_t *digest, size_t len, char out[64], struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(63);

	if (base64_encode(&text, digest, len, err) < 0)
		return -1;
	memcpy(out, buf_str(&text), text.len + 1);
	return 0;
}

/* Content-MD5 and the checksum against what came. */
static bool check_digests(struct intake *in, struct s3_content *content)
{
	const char *md5 = request_header(in->c->req, "content-md5");
	uint8_t digest[HASH_STREAM_MAX];
	struct error err = ERROR_INIT;
	char text[64];
	size_t len;

	if (hash_stream_final(in->md5, digest, &len, &err) < 0 || text_of(digest, len, text, &err) < 0)
		return s3_internal(in->c, &err);
	memcpy(content->md5, digest, sizeof(content->md5));
	if (md5 && strcmp(md5, text) != 0)
		return s3_refuse(in->c, 400, "BadDigest",
			"The Content-MD5 you specified did not match what we received.");
	content->checksums = json_new_object(&err);
	if (!content->checksums)
		return s3_internal(in->c, &err);
	if (!in->sum)
		return false;
	if (hash_stream_final(in->sum, digest, &len, &err) < 0 || text_of(digest, len, text, &err) < 0)
		return s3_internal(in->c, &err);
	if (strcmp(text, in->expected) != 0)
		return s3_refuse(in->c, 400, "BadDigest",
			"The %s you specified did not match the calculated checksum.", in->which->name);
	return json_set_str(content->checksums, in->which->name, text, &err) < 0 &&
	       s3_internal(in->c, &err);
}

static bool take(struct intake *in, struct s3_content *content)
{
	struct error err = ERROR_INIT;

	choose_checksum(in);
	in->piece = malloc(PIECE);
	in->md5 = hash_stream_new(HASH_MD5, &err);
	in->sum = in->which ? hash_stream_new(in->which->kind, &err) : NULL;
	if (!in->piece || !in->md5 || (in->which && !in->sum))
		return s3_internal(in->c, &err);
	if (take_all(in) || check_digests(in, content))
		return true;
	content->size = in->written;
	return false;
}

bool s3_take_body(struct s3_ctx *c, struct s3_content *content)
{
	struct intake in = {.c = c, .end = c->req->spooled ? c->req->body_fd_len : 0, .out = -1};
	CLEANUP_FREE char *path = NULL;
	struct error err = ERROR_INIT;
	bool over;

	*content = (struct s3_content){.size = 0};
	if (s3_new_id(c->region, content->id, &err) < 0 ||
	    !(path = s3_data_path(&c->bucket, content->id, &err)))
		return s3_internal(c, &err);
	in.out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (in.out < 0) {
		error_set(&err, ERROR_IO, errno, "cannot make '%s'", path);
		return s3_internal(c, &err);
	}
	over = take(&in, content);
	if (over) {
		(void)unlink(path);
		s3_content_release(content);
	}
	close(in.out);
	hash_stream_free(in.md5);
	hash_stream_free(in.sum);
	sha256_free(in.chunk);
	explicit_bzero(&in.seed, sizeof(in.seed));
	free(in.piece);
	return over;
}
