/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the records of the journal say, and what may be gone on with. Nothing of it is kept in memory
 * but the state and the head.
 */
#include "uploader/snapshot_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "uploader/journal_file.h"

struct snapshot_journal {
	struct journal_file file;
	struct json *head;
	struct snapshot_journal_state state;
};

static const char magic[] = "amiwright-upload 1 ";

static const char remedy[] =
	"move it away to begin anew; 'amiwright upload --cleanup IMAGE' deletes the snapshot that it was of";

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
	return error_set(err, ERROR_INPUT, 0, "'%s': a record is not understood: '%.40s'; %s", j->file.path,
		line, remedy);
}

static int not_a_journal(const struct snapshot_journal *j, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is not the journal of an upload, or its beginning is damaged: %s", j->file.path, remedy);
}

static int read_head(struct snapshot_journal *j, const char *line, struct error *err)
{
	if (strncmp(line, magic, sizeof(magic) - 1) != 0)
		return not_a_journal(j, err);
	line += sizeof(magic) - 1;
	j->head = json_parse(line, strlen(line), j->file.path, err);
	if (!j->head)
		return -1;
	snprintf(j->state.token, sizeof(j->state.token), "%s", json_get_str(j->head, "token", ""));
	return 0;
}

static int read_state(void *arg, char *line, struct error *err)
{
	struct snapshot_journal *j = arg;
	struct snapshot_journal_state *s = &j->state;
	uint8_t digest[SHA256_SIZE];
	uint64_t number = 0;
	bool good = line && line[0] && line[1] == ' ';

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
	CLEANUP_BUF struct buf text = BUF_INIT(JOURNAL_LINE_MAX);

	if (buf_add_str(&text, magic, err) < 0 || json_write(head, false, &text, err) < 0)
		return error_wrap(err, "the head of '%s'", j->file.path);
	if (journal_file_append(&j->file, buf_str(&text), err) < 0)
		return -1;
	return read_head(j, buf_str(&text), err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

/* A file that is not ours is neither read to its end nor written into. */
static int check_ours(struct snapshot_journal *j, struct error *err)
{
	char start[sizeof(magic)] = "";
	ssize_t n = pread(j->file.fd, start, sizeof(magic) - 1, 0);

	if (n < 0)
		return error_set(err, ERROR_IO, errno, "cannot read '%s'", j->file.path);
	if (strncmp(start, magic, (size_t)n) != 0)
		return not_a_journal(j, err);
	return 0;
}

static int read_all(struct snapshot_journal *j, struct error *err)
{
	if (check_ours(j, err) < 0 || journal_file_scan(&j->file, read_state, j, err) < 0)
		return -1;
	if (j->state.damaged && !j->state.snapshot[0])
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is damaged and does not say any more which snapshot it is of: %s", j->file.path,
			remedy);
	return 0;
}

static struct snapshot_journal *open_file(const char *path, int flags, struct error *err)
{
	struct snapshot_journal *j = calloc(1, sizeof(*j));

	if (!j)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a journal");
	j->file = (struct journal_file)JOURNAL_FILE_INIT;
	if (journal_file_open(&j->file, path, flags, err) == 0 && read_all(j, err) == 0)
		return j;
	snapshot_journal_close(j);
	return NULL;
}

static int compare_heads(struct snapshot_journal *j, const struct json *head, struct error *err)
{
	struct json *now;

	for (const char *key = NULL; (key = json_next_key(head, key, &now)) != NULL;) {
		CLEANUP_BUF struct buf a = BUF_INIT(JOURNAL_LINE_MAX), b = BUF_INIT(JOURNAL_LINE_MAX);
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
				j->file.path, key, then ? buf_str(&b) : "not set", buf_str(&a));
	}
	return 0;
}

/* What could not be begun says nothing that is worth a file. */
static int begin_file(struct snapshot_journal *j, const struct json *head, struct error *err)
{
	if (write_head(j, head, err) == 0)
		return 0;
	unlink(j->file.path);
	return -1;
}

struct snapshot_journal *snapshot_journal_open(const char *path, const struct json *head,
	struct error *err)
{
	struct snapshot_journal *j = open_file(path, O_CREAT, err);

	if (!j)
		return NULL;
	/* What is lost must be seen by the next run, too; and a damaged journal is not gone on with. */
	if (!j->state.damaged && journal_file_cut(&j->file, j->file.end, err) < 0)
		goto fail;
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
	journal_file_close(&j->file);
	json_free(j->head);
	free(j);
}

int snapshot_journal_remove(struct snapshot_journal *j, struct error *err)
{
	int ret = 0;

	if (unlink(j->file.path) < 0 && errno != ENOENT)
		ret = error_set(err, ERROR_IO, errno, "cannot remove '%s'", j->file.path);
	snapshot_journal_close(j);
	return ret;
}

int snapshot_journal_reset(struct snapshot_journal *j, const struct json *head, struct error *err)
{
	if (journal_file_cut(&j->file, 0, err) < 0)
		return -1;
	json_free(j->head);
	j->head = NULL;
	memset(&j->state, 0, sizeof(j->state));
	j->state.made = true;
	return write_head(j, head, err);
}

const char *snapshot_journal_path(const struct snapshot_journal *j)
{
	return j->file.path;
}

const struct snapshot_journal_state *snapshot_journal_state(const struct snapshot_journal *j)
{
	return &j->state;
}

const struct json *snapshot_journal_head(const struct snapshot_journal *j)
{
	return j->head;
}

static int load_line(void *arg, char *line, struct error *err)
{
	uint8_t digest[SHA256_SIZE];
	uint64_t index;

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
	if (journal_file_scan(&j->file, load_line, table, err) < 0)
		return error_wrap(err, "'%s'", j->file.path);
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
	return journal_file_append(&j->file, line, err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

int snapshot_journal_sending(struct snapshot_journal *j, uint64_t index, struct error *err)
{
	char line[32];

	snprintf(line, sizeof(line), "S %" PRIu64, index);
	return journal_file_append(&j->file, line, err);
}

int snapshot_journal_sent(struct snapshot_journal *j, uint64_t index,
	const uint8_t digest[SHA256_SIZE], struct error *err)
{
	char line[96], sum[SHA256_BASE64_SIZE];

	snprintf(line, sizeof(line), "D %" PRIu64 " %s", index, base64_sha256(sum, digest));
	return journal_file_append(&j->file, line, err);
}

int snapshot_journal_completing(struct snapshot_journal *j, uint64_t count,
	const uint8_t aggregate[SHA256_SIZE], struct error *err)
{
	char line[96], sum[SHA256_BASE64_SIZE];

	snprintf(line, sizeof(line), "C %" PRIu64 " %s", count, base64_sha256(sum, aggregate));
	return journal_file_append(&j->file, line, err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

int snapshot_journal_ended(struct snapshot_journal *j, uint64_t count, struct error *err)
{
	char line[32];

	snprintf(line, sizeof(line), "E %" PRIu64, count);
	return journal_file_append(&j->file, line, err) < 0 ? -1 : snapshot_journal_sync(j, err);
}

int snapshot_journal_sync(struct snapshot_journal *j, struct error *err)
{
	return journal_file_sync(&j->file, err);
}
