/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's file: opening under a lock, one pass that finds out what it says and where its
 * sound part ends, and appending. Nothing of it is kept in memory but the state and the head.
 */
#include "uploader/snapshot_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"

/*
 * The head holds all tags: 50 of 128 + 256 characters, each of up to 4 bytes, or of 6 when JSON writes
 * it as \u001f.
 */
enum { LINE_SIZE = 131072, CHECK_HEX = 8, TRIES = 10 };

static const char magic[] = "amiwright-upload 1 ";

struct snapshot_journal {
	int fd;
	char *path;
	uint64_t end; /* of the sound records */
	struct json *head;
	struct snapshot_journal_state state;
};

static const char remedy[] =
	"move it away to begin anew; 'amiwright upload --cleanup IMAGE' deletes the snapshot that it was of";

/* What is done with each sound line: its text without check and newline; NULL: something is lost. */
typedef int (*line_fn)(struct snapshot_journal *j, char *line, void *arg, struct error *err);

static int make_check(const char *line, size_t len, char hex[CHECK_HEX + 1], struct error *err)
{
	uint8_t digest[SHA256_SIZE];

	if (sha256(line, len, digest, err) < 0)
		return -1;
	hex_encode(hex, digest, CHECK_HEX / 2);
	return 0;
}

static int append(struct snapshot_journal *j, const char *line, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(LINE_SIZE);
	char check[CHECK_HEX + 1];

	if (make_check(line, strlen(line), check, err) < 0)
		return -1;
	if (buf_addf(&text, err, "%s %s\n", line, check) < 0)
		return error_wrap(err, "a record of '%s'", j->path);
	if (file_pwrite_all(j->fd, text.data, text.len, j->end, j->path, err) < 0)
		return -1;
	j->end += text.len;
	return 0;
}

/* Whether text (NUL-terminated, no newline) ends in its check; which is cut off then. */
static bool is_sound(char *text)
{
	size_t len = strlen(text);
	char check[CHECK_HEX + 1];

	if (len < CHECK_HEX + 2 || text[len - CHECK_HEX - 1] != ' ')
		return false;
	if (make_check(text, len - CHECK_HEX - 1, check, NULL) < 0 ||
	    strcmp(check, text + len - CHECK_HEX) != 0)
		return false;
	text[len - CHECK_HEX - 1] = '\0';
	return true;
}

/* A pass over the file. */
struct scan {
	line_fn line;
	void *arg;
	bool unsound;  /* the line before this one; when it was the last, it is only torn */
	bool overlong; /* the beginning of this line is gone already: it is none of ours */
};

/* text: len bytes and a NUL in the place of the newline; end: of the line, in the file. */
static int scan_line(struct snapshot_journal *j, struct scan *s, char *text, size_t len, uint64_t end,
	struct error *err)
{
	bool sound = !s->overlong && strlen(text) == len && is_sound(text);

	if (s->unsound && s->line(j, NULL, s->arg, err) < 0)
		return -1;
	s->unsound = !sound;
	s->overlong = false;
	if (!sound)
		return 0;
	j->end = end;
	return s->line(j, text, s->arg, err);
}

/*
 * Calls line() for each sound line, and with NULL where others come before further lines: an append
 * that was cut off makes an unsound line only at the end. Sets j->end.
 */
static int scan(struct snapshot_journal *j, line_fn line, void *arg, struct error *err)
{
	CLEANUP_FREE char *chunk = malloc(LINE_SIZE + 1);
	struct scan s = {.line = line, .arg = arg};
	uint64_t pos = 0; /* of the chunk's beginning */
	size_t have = 0;

	if (!chunk)
		return error_nomem(err, "a journal");
	j->end = 0;
	for (;;) {
		ssize_t n = pread(j->fd, chunk + have, LINE_SIZE - have, (off_t)(pos + have));
		char *at = chunk, *newline;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, ERROR_IO, errno, "cannot read '%s'", j->path);
		have += (size_t)n;
		while ((newline = memchr(at, '\n', have)) != NULL) {
			size_t len = (size_t)(newline - at);

			*newline = '\0';
			pos += len + 1;
			if (scan_line(j, &s, at, len, pos, err) < 0)
				return -1;
			have -= len + 1;
			at = newline + 1;
		}
		if (n == 0)
			return s.unsound && have + s.overlong ? line(j, NULL, arg, err) : 0;
		if (have == LINE_SIZE) {
			s.overlong = true;
			pos += have;
			have = 0;
		}
		memmove(chunk, at, have);
	}
}

static bool read_digest(const char *text, uint8_t digest[SHA256_SIZE])
{
	CLEANUP_BUF struct buf raw = BUF_INIT(64);

	if (base64_decode(&raw, text, NULL) < 0 || raw.len != SHA256_SIZE)
		return false;
	memcpy(digest, raw.data, SHA256_SIZE);
	return true;
}

/* "X number" or "X number digest"; false when it is something else. */
static bool read_record(const char *line, uint64_t *number, uint8_t *digest)
{
	char *end;

	errno = 0;
	*number = strtoull(line + 2, &end, 10);
	if (errno || end == line + 2)
		return false;
	return digest ? *end == ' ' && read_digest(end + 1, digest) : *end == '\0';
}

static int bad_record(const struct snapshot_journal *j, const char *line, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s': a record is not understood: '%.40s'; %s", j->path,
		line, remedy);
}

static int not_a_journal(const struct snapshot_journal *j, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is not the journal of an upload, or its beginning is damaged: %s", j->path, remedy);
}

static int read_head(struct snapshot_journal *j, const char *line, struct error *err)
{
	if (strncmp(line, magic, sizeof(magic) - 1) != 0)
		return not_a_journal(j, err);
	line += sizeof(magic) - 1;
	j->head = json_parse(line, strlen(line), j->path, err);
	if (!j->head)
		return -1;
	snprintf(j->state.token, sizeof(j->state.token), "%s", json_get_str(j->head, "token", ""));
	return 0;
}

static int read_state(struct snapshot_journal *j, char *line, void *arg, struct error *err)
{
	struct snapshot_journal_state *s = &j->state;
	uint8_t digest[SHA256_SIZE];
	uint64_t number = 0;
	bool good = line && line[0] && line[1] == ' ';

	(void)arg;
	if (!j->head)
		return line ? read_head(j, line, err) : not_a_journal(j, err);
	if (!line) {
		s->damaged = true;
		s->completing = s->ended = false;
		return 0;
	}
	switch (line[0]) {
	case 'N':
		good = good && sscanf(line, "N %64s %15s %" SCNd64, s->snapshot, s->owner, &s->start_s) == 3;
		break;
	case 'S':
		good = good && read_record(line, &number, NULL);
		s->completing = s->ended = false;
		break;
	case 'D':
		good = good && read_record(line, &number, digest);
		s->done++;
		break;
	case 'C':
		good = good && read_record(line, &s->count, s->aggregate);
		s->completing = true;
		break;
	case 'E':
		good = good && read_record(line, &s->count, NULL);
		s->ended = true;
		break;
	default:
		good = false;
	}
	return good ? 0 : bad_record(j, line, err);
}

static int write_head(struct snapshot_journal *j, const struct json *head, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(LINE_SIZE);

	if (buf_add_str(&text, magic, err) < 0 || json_write(head, false, &text, err) < 0)
		return error_wrap(err, "the head of '%s'", j->path);
	if (append(j, buf_str(&text), err) < 0)
		return -1;
	return read_head(j, buf_str(&text), err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

/* The lock is the file's, and the name may go while we wait for neither: then it is another file. */
static int open_locked(const char *path, int flags, struct error *err)
{
	for (int i = 0; i < TRIES; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
		struct stat ours, named;

		if (fd < 0)
			return error_set(err, ERROR_IO, errno, "cannot open the journal '%s'", path);
		if (fstat(fd, &ours) == 0 && !S_ISREG(ours.st_mode)) {
			close(fd);
			return error_set(err, ERROR_USAGE, 0,
				"the journal '%s' is not a regular file: name one, it need not be there", path);
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int why = errno;

			close(fd);
			if (why == EWOULDBLOCK)
				return error_set(err, ERROR_POLICY, 0,
					"another process is uploading with the journal '%s'", path);
			return error_set(err, ERROR_IO, why, "cannot lock '%s'", path);
		}
		if (fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
		    ours.st_dev == named.st_dev)
			return fd;
		close(fd);
	}
	return error_set(err, ERROR_IO, 0, "the journal '%s' comes and goes", path);
}

/* A file that is not ours is neither read to its end nor written into. */
static int check_ours(struct snapshot_journal *j, struct error *err)
{
	char start[sizeof(magic)] = "";
	ssize_t n = pread(j->fd, start, sizeof(magic) - 1, 0);

	if (n < 0)
		return error_set(err, ERROR_IO, errno, "cannot read '%s'", j->path);
	if (strncmp(start, magic, (size_t)n) != 0)
		return not_a_journal(j, err);
	return 0;
}

static int read_all(struct snapshot_journal *j, struct error *err)
{
	if (check_ours(j, err) < 0 || scan(j, read_state, NULL, err) < 0)
		return -1;
	if (j->state.damaged && !j->state.snapshot[0])
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is damaged and does not say any more which snapshot it is of: %s", j->path,
			remedy);
	return 0;
}

static struct snapshot_journal *open_file(const char *path, int flags, struct error *err)
{
	struct snapshot_journal *j = calloc(1, sizeof(*j));

	if (!j)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a journal");
	j->fd = open_locked(path, flags, err);
	if (j->fd < 0)
		goto fail;
	j->path = strdup(path);
	if (!j->path) {
		error_nomem(err, "a journal");
		goto fail;
	}
	if (read_all(j, err) == 0)
		return j;
fail:
	snapshot_journal_close(j);
	return NULL;
}

static int compare_heads(struct snapshot_journal *j, const struct json *head, struct error *err)
{
	struct json *now;

	for (const char *key = NULL; (key = json_next_key(head, key, &now)) != NULL;) {
		CLEANUP_BUF struct buf a = BUF_INIT(LINE_SIZE), b = BUF_INIT(LINE_SIZE);
		struct json *then = json_get(j->head, key);
		bool same;

		if (strcmp(key, "token") == 0)
			continue;
		if (json_write(now, false, &a, err) < 0 || (then && json_write(then, false, &b, err) < 0))
			return -1;
		same = strcmp(buf_str(&a), then ? buf_str(&b) : "null") == 0;
		if (strcmp(key, "source") == 0)
			j->state.source_changed = !same;
		else if (!same)
			return error_set(err, ERROR_USAGE, 0,
				"'%s' is of an upload that was begun otherwise: its %s is %.200s, now it is "
				"%.200s; finish it with the same options, or give it up",
				j->path, key, then ? buf_str(&b) : "not set", buf_str(&a));
	}
	return 0;
}

/* What could not be begun says nothing that is worth a file. */
static int begin_file(struct snapshot_journal *j, const struct json *head, struct error *err)
{
	if (write_head(j, head, err) == 0)
		return 0;
	unlink(j->path);
	return -1;
}

struct snapshot_journal *snapshot_journal_open(const char *path, const struct json *head,
	struct error *err)
{
	struct snapshot_journal *j = open_file(path, O_CREAT, err);

	if (!j)
		return NULL;
	/* What is lost must be seen by the next run, too; and a damaged journal is not gone on with. */
	if (!j->state.damaged && ftruncate(j->fd, (off_t)j->end) < 0) {
		error_set(err, ERROR_IO, errno, "cannot cut '%s'", path);
		goto fail;
	}
	j->state.made = !j->head;
	if (j->head ? compare_heads(j, head, err) < 0 : begin_file(j, head, err) < 0)
		goto fail;
	return j;
fail:
	snapshot_journal_close(j);
	return NULL;
}

struct snapshot_journal *snapshot_journal_open_any(const char *path, struct error *err)
{
	struct snapshot_journal *j = open_file(path, 0, err);

	if (j && !j->head) {
		(void)not_a_journal(j, err);
		snapshot_journal_close(j);
		return NULL;
	}
	return j;
}

void snapshot_journal_close(struct snapshot_journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd); /* every record was written when it was made */
	json_free(j->head);
	free(j->path);
	free(j);
}

int snapshot_journal_remove(struct snapshot_journal *j, struct error *err)
{
	int ret = 0;

	if (unlink(j->path) < 0 && errno != ENOENT)
		ret = error_set(err, ERROR_IO, errno, "cannot remove '%s'", j->path);
	snapshot_journal_close(j);
	return ret;
}

int snapshot_journal_reset(struct snapshot_journal *j, const struct json *head, struct error *err)
{
	if (ftruncate(j->fd, 0) < 0)
		return error_set(err, ERROR_IO, errno, "cannot cut '%s'", j->path);
	j->end = 0;
	json_free(j->head);
	j->head = NULL;
	memset(&j->state, 0, sizeof(j->state));
	j->state.made = true;
	return write_head(j, head, err);
}

const char *snapshot_journal_path(const struct snapshot_journal *j)
{
	return j->path;
}

const struct snapshot_journal_state *snapshot_journal_state(const struct snapshot_journal *j)
{
	return &j->state;
}

const struct json *snapshot_journal_head(const struct snapshot_journal *j)
{
	return j->head;
}

static int load_line(struct snapshot_journal *j, char *line, void *arg, struct error *err)
{
	uint8_t digest[SHA256_SIZE];
	uint64_t index;

	(void)j;
	if (!line)
		return 0;
	if (line[0] == 'S' && read_record(line, &index, NULL))
		return snapshot_table_set(arg, index, NULL, err);
	if (line[0] == 'D' && read_record(line, &index, digest))
		return snapshot_table_set(arg, index, digest, err);
	return 0;
}

int snapshot_journal_load(struct snapshot_journal *j, struct snapshot_table *table,
	struct error *err)
{
	if (scan(j, load_line, table, err) < 0)
		return error_wrap(err, "'%s'", j->path);
	return 0;
}

int snapshot_journal_started(struct snapshot_journal *j, const char *snapshot, const char *owner,
	int64_t start_s, struct error *err)
{
	char line[160];

	snprintf(line, sizeof(line), "N %s %s %" PRId64, snapshot, owner[0] ? owner : "-", start_s);
	snprintf(j->state.snapshot, sizeof(j->state.snapshot), "%s", snapshot);
	snprintf(j->state.owner, sizeof(j->state.owner), "%s", owner[0] ? owner : "-");
	j->state.start_s = start_s;
	return append(j, line, err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

int snapshot_journal_sending(struct snapshot_journal *j, uint64_t index, struct error *err)
{
	char line[32];

	snprintf(line, sizeof(line), "S %" PRIu64, index);
	return append(j, line, err);
}

int snapshot_journal_sent(struct snapshot_journal *j, uint64_t index,
	const uint8_t digest[SHA256_SIZE], struct error *err)
{
	char line[96], sum[SHA256_BASE64_SIZE];

	snprintf(line, sizeof(line), "D %" PRIu64 " %s", index, base64_sha256(sum, digest));
	return append(j, line, err);
}

int snapshot_journal_completing(struct snapshot_journal *j, uint64_t count,
	const uint8_t aggregate[SHA256_SIZE], struct error *err)
{
	char line[96], sum[SHA256_BASE64_SIZE];

	snprintf(line, sizeof(line), "C %" PRIu64 " %s", count, base64_sha256(sum, aggregate));
	return append(j, line, err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

int snapshot_journal_ended(struct snapshot_journal *j, uint64_t count, struct error *err)
{
	char line[32];

	snprintf(line, sizeof(line), "E %" PRIu64, count);
	return append(j, line, err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

int snapshot_journal_sync(struct snapshot_journal *j, struct error *err)
{
	if (fdatasync(j->fd) < 0 && errno != EINVAL)
		return error_set(err, ERROR_IO, errno, "cannot write '%s'", j->path);
	return 0;
}
