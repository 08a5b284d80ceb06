/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One slot an object under way: pieces of it are asked for one after the other, so that the digest runs
 * along; several slots fill the line. A content that has not the digest is fetched once more, for what the line
 * may have done to it.
 */
#include "uploader/s3_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash_stream.h"
#include "base/log.h"
#include "base/num.h"

enum { PIECE = 5 * 1024 * 1024, SLOTS = 8, TRIES = 2, LOOP_MS = 200 };

struct fetch;

struct slot {
	struct fetch *fetch;
	struct s3_fetch_file *file; /* NULL while free */
	struct atomic_file out;
	struct hash_stream *hash;
	uint64_t off;
	char etag[S3_ETAG_SIZE];
	unsigned tries;
	struct aws_call call;
};

struct fetch {
	const struct s3_place *place;
	const struct s3_fetch_opts *opts;
	struct slot slots[SLOTS];
	bool failed;
	struct error error;
};

DEFINE_CLEANUP(fetch_hash, struct hash_stream, hash_stream_free)

/* Whether the file is there with the content. */
static int is_there(const struct s3_fetch_file *f, bool *there, struct error *err)
{
	CLEANUP_CLOSE int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	CLEANUP(fetch_hash_cleanup) struct hash_stream *h = NULL;
	CLEANUP_FREE uint8_t *piece = NULL;
	uint8_t digest[HASH_STREAM_MAX];
	size_t len;
	ssize_t n;

	*there = false;
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set(err, ERROR_IO, errno, "cannot open '%s'", f->path);
	h = hash_stream_new(HASH_SHA1, err);
	piece = malloc(MIB);
	if (!h || !piece)
		return h ? error_nomem(err, "a file's digest") : -1;
	while ((n = read(fd, piece, MIB)) > 0)
		if (hash_stream_update(h, piece, (size_t)n, err) < 0)
			return -1;
	if (n < 0)
		return error_set(err, ERROR_IO, errno, "cannot read '%s'", f->path);
	if (hash_stream_final(h, digest, &len, err) < 0)
		return -1;
	*there = memcmp(digest, f->sha1, SHA1_SIZE) == 0;
	return 0;
}

static void slot_release(struct slot *s)
{
	atomic_file_abort(&s->out);
	hash_stream_free(s->hash);
	s->hash = NULL;
	s->file = NULL;
}

static void on_piece(struct aws_call *call, void *arg);

static int ask(struct slot *s, struct error *err)
{
	const struct s3_place *place = s->fetch->place;

	if (s3_get_init(place, &s->call, s->file->key, s->off, PIECE, s->off ? s->etag : NULL, err) < 0)
		return -1;
	s->call.done = on_piece;
	s->call.arg = s;
	if (aws_start(place->aws, &s->call, err) == 0)
		return 0;
	aws_call_release(&s->call);
	return -1;
}

static int begin(struct slot *s, struct error *err)
{
	s->off = 0;
	atomic_file_abort(&s->out);
	hash_stream_free(s->hash);
	s->hash = hash_stream_new(HASH_SHA1, err);
	if (!s->hash || atomic_file_open(&s->out, s->file->path, 0644, err) < 0)
		return -1;
	return ask(s, err);
}

/* All of it is here. *again: it has another content, and is worth a second look. */
static int finish(struct slot *s, bool *again, struct error *err)
{
	uint8_t digest[HASH_STREAM_MAX];
	char hex[SHA1_HEX_SIZE], wanted[SHA1_HEX_SIZE];
	size_t len;

	*again = false;
	if (hash_stream_final(s->hash, digest, &len, err) < 0)
		return -1;
	if (memcmp(digest, s->file->sha1, SHA1_SIZE) == 0)
		return atomic_file_commit(&s->out, false, err);
	*again = ++s->tries < TRIES;
	return *again ? 0 :
			error_set(err, ERROR_INPUT, 0,
				"s3://%s/%s is not what the manifest says: its SHA-1 is %s, not %s",
				s->fetch->place->name, s->file->key, hex_encode(hex, digest, SHA1_SIZE),
				hex_encode(wanted, s->file->sha1, SHA1_SIZE));
}

/* Takes a piece; *size is the object's. */
static int take(struct slot *s, uint64_t *size, struct error *err)
{
	const struct s3_fetch_opts *o = s->fetch->opts;
	const struct buf *piece = &s->call.http.answer;

	if (s3_got(&s->call, size, s->etag, err) < 0)
		return -1;
	if (*size > o->size_max)
		return error_set(err, ERROR_INPUT, 0, "s3://%s/%s has %llu bytes: a part has at most %llu",
			s->fetch->place->name, s->file->key, (unsigned long long)*size,
			(unsigned long long)o->size_max);
	if (!s->call.ok)
		return 0;
	if (file_pwrite_all(s->out.fd, piece->data, piece->len, s->off, s->file->path, err) < 0 ||
	    hash_stream_update(s->hash, piece->data, piece->len, err) < 0)
		return -1;
	s->off += piece->len;
	if (o->progress)
		o->progress(o->arg, piece->len);
	return 0;
}

static int go_on(struct slot *s, struct error *err)
{
	bool again = false;
	uint64_t size;
	int ret = take(s, &size, err);

	aws_call_release(&s->call);
	if (ret < 0)
		return -1;
	if (s->off < size)
		return ask(s, err);
	if (finish(s, &again, err) < 0)
		return -1;
	if (again) {
		log_warn("s3://%s/%s came with another content than it should have: once more",
			s->fetch->place->name, s->file->key);
		return begin(s, err);
	}
	slot_release(s);
	return 0;
}

static void on_piece(struct aws_call *call, void *arg)
{
	struct slot *s = arg;
	struct fetch *f = s->fetch;
	struct error why = ERROR_INIT;

	(void)call;
	if (go_on(s, &why) == 0)
		return;
	if (!f->failed)
		f->error = why;
	f->failed = true;
	slot_release(s);
}

static struct slot *free_slot(struct fetch *f)
{
	for (int i = 0; i < SLOTS; i++)
		if (!f->slots[i].file)
			return &f->slots[i];
	return NULL;
}

/* One file more, unless it is there. */
static int start(struct fetch *f, struct slot *s, struct s3_fetch_file *file, struct error *err)
{
	if (is_there(file, &file->was_there, err) < 0)
		return -1;
	if (file->was_there)
		return 0;
	s->file = file;
	s->fetch = f;
	s->tries = 0;
	if (begin(s, err) == 0)
		return 0;
	slot_release(s);
	return -1;
}

static int run(struct fetch *f, struct s3_fetch_file *files, size_t nr, struct error *err)
{
	size_t next = 0;

	while (next < nr || aws_running(f->place->aws) > 0) {
		struct slot *s = next < nr ? free_slot(f) : NULL;

		if (s && start(f, s, &files[next++], err) < 0)
			return -1;
		if (aws_run(f->place->aws, s ? 0 : LOOP_MS, -1, err) < 0)
			return -1;
		if (f->failed) {
			if (err)
				*err = f->error;
			return -1;
		}
	}
	return 0;
}

int s3_fetch(const struct s3_place *place, struct s3_fetch_file *files, size_t nr,
	const struct s3_fetch_opts *opts, struct error *err)
{
	CLEANUP_FREE struct fetch *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return error_nomem(err, "the transfer");
	f->place = place;
	f->opts = opts;
	for (int i = 0; i < SLOTS; i++)
		f->slots[i].out = (struct atomic_file)ATOMIC_FILE_INIT;
	ret = run(f, files, nr, err);
	for (int i = 0; i < SLOTS; i++) {
		if (!f->slots[i].file)
			continue;
		aws_cancel(place->aws, &f->slots[i].call);
		aws_call_release(&f->slots[i].call);
		slot_release(&f->slots[i]);
	}
	return ret;
}
