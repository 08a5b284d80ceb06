/* SPDX-License-Identifier: Apache-2.0 */
/* A small JSON document and a lock beside it. */
#include "builder/publish_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { FORMAT = 1, FILE_MAX = 16 << 20 };

static const char *const kinds[] = {"snapshot", "image"};

/* AMI names may hold '/' and blanks; "%2F" as in URLs keeps different names different. */
static int add_escaped(struct buf *out, const char *text, struct error *err)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';

		if ((plain ? buf_addf(out, err, "%c", c) : buf_addf(out, err, "%%%02X", c)) < 0)
			return -1;
	}
	return 0;
}

static int set_paths(struct publish_journal *j, const char *dir, const struct publish_journal_key *key,
	struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);

	if (buf_addf(&path, err, "%s/", dir) < 0 || add_escaped(&path, key->name, err) < 0 ||
		buf_addf(&path, err, ".%s.%s", key->region, key->account) < 0)
		return -1;
	j->path = buf_strf(err, "%s.json", buf_str(&path));
	j->lock_path = buf_strf(err, "%s.lock", buf_str(&path));
	return j->path && j->lock_path ? 0 : -1;
}

/*
 * The lock file goes with the journal; whoever waited for the name of one that was removed tries
 * again.
 */
static int lock(struct publish_journal *j, const char *name, struct error *err)
{
	struct stat mine, named;

	for (;;) {
		j->lock_fd = open(j->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (j->lock_fd < 0)
			return error_set(err, ERROR_IO, errno, "cannot open '%s'", j->lock_path);
		if (flock(j->lock_fd, LOCK_EX | LOCK_NB) < 0)
			break;
		if (!fstat(j->lock_fd, &mine) && !stat(j->lock_path, &named) &&
			mine.st_ino == named.st_ino && mine.st_dev == named.st_dev)
			return 0;
		close(j->lock_fd);
		j->lock_fd = -1;
	}
	if (errno != EWOULDBLOCK)
		return error_set(err, ERROR_IO, errno, "cannot lock '%s'", j->lock_path);
	return error_set(err, ERROR_POLICY, 0, "'%s' is being published by another process", name);
}

static int check(const struct publish_journal *j, struct error *err)
{
	if (json_get_int(j->doc, "amiwright_publication", 0) == FORMAT &&
		json_is_array(json_get(j->doc, "made")) && json_is_array(json_get(j->doc, "done")))
		return 0;
	return error_set(err, ERROR_INPUT, 0, "'%s' is no journal of a publication that this version "
		"reads: move it away to begin anew", j->path);
}

static int load(struct publish_journal *j, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);

	if (access(j->path, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (file_read(j->path, &text, err) < 0)
		return -1;
	j->doc = json_parse(text.data, text.len, j->path, err);
	j->found = j->doc != NULL;
	return j->doc ? check(j, err) : -1;
}

static int begin(struct publish_journal *j, const struct publish_journal_key *key, struct error *err)
{
	j->doc = json_new_object(err);
	if (!j->doc || json_set_int(j->doc, "amiwright_publication", FORMAT, err) < 0 ||
		json_set_str(j->doc, "name", key->name, err) < 0 ||
		json_set_str(j->doc, "region", key->region, err) < 0 ||
		json_set_str(j->doc, "account", key->account, err) < 0 ||
		json_set_str(j->doc, "spec", key->spec, err) < 0 ||
		json_set_str(j->doc, "content", "", err) < 0 ||
		json_set(j->doc, "made", json_new_array(err), err) < 0)
		return -1;
	return json_set(j->doc, "done", json_new_array(err), err);
}

int publish_journal_open(struct publish_journal *j, const char *dir,
	const struct publish_journal_key *key, struct error *err)
{
	*j = (struct publish_journal)PUBLISH_JOURNAL_INIT;
	if (dir && (set_paths(j, dir, key, err) < 0 || lock(j, key->name, err) < 0 || load(j, err) < 0))
		return -1;
	return j->doc ? 0 : begin(j, key, err);
}

void publish_journal_close(struct publish_journal *j)
{
	if (j->lock_fd >= 0) {
		/* While it is held, so that nobody loses a lock that it just got. */
		unlink(j->lock_path);
		close(j->lock_fd);
	}
	free(j->path);
	free(j->lock_path);
	json_free(j->doc);
	*j = (struct publish_journal)PUBLISH_JOURNAL_INIT;
}

static int save(struct publish_journal *j, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(FILE_MAX);

	if (!j->path)
		return 0;
	if (json_write(j->doc, true, &text, err) < 0)
		return -1;
	return file_write_atomic(j->path, text.data, text.len, 0600, true, err);
}

bool publish_journal_item(const struct publish_journal *j, size_t index, struct publish_made *out)
{
	const struct json *item = json_at(json_get(j->doc, "made"), index);

	if (!item)
		return false;
	out->kind = strcmp(json_get_str(item, "kind", ""), kinds[PUBLISH_IMAGE]) ? PUBLISH_SNAPSHOT :
										   PUBLISH_IMAGE;
	out->region = json_get_str(item, "region", "");
	out->id = json_get_str(item, "id", "");
	out->device = json_get_str(item, "device", NULL);
	return true;
}

static bool knows(const struct publish_journal *j, const char *id)
{
	struct publish_made made;

	for (size_t i = 0; publish_journal_item(j, i, &made); i++)
		if (!strcmp(made.id, id))
			return true;
	return false;
}

int publish_journal_made(struct publish_journal *j, const struct publish_made *made, struct error *err)
{
	struct json *item;

	if (knows(j, made->id))
		return 0;
	item = json_new_object(err);
	if (!item || json_set_str(item, "kind", kinds[made->kind], err) < 0 ||
		json_set_str(item, "region", made->region, err) < 0 ||
		json_set_str(item, "id", made->id, err) < 0 ||
		(made->device && json_set_str(item, "device", made->device, err) < 0)) {
		json_free(item);
		return -1;
	}
	return json_append(json_get(j->doc, "made"), item, err) < 0 ? -1 : save(j, err);
}

int publish_journal_gone(struct publish_journal *j, const char *id, struct error *err)
{
	CLEANUP(json_cleanup) struct json *left = json_new_array(err);
	struct publish_made made;

	if (!left)
		return -1;
	for (size_t i = 0; publish_journal_item(j, i, &made); i++) {
		struct json *item;

		if (!strcmp(made.id, id))
			continue;
		item = json_new_object(err);
		if (!item || json_set_str(item, "kind", kinds[made.kind], err) < 0 ||
			json_set_str(item, "region", made.region, err) < 0 ||
			json_set_str(item, "id", made.id, err) < 0 ||
			(made.device && json_set_str(item, "device", made.device, err) < 0)) {
			json_free(item);
			return -1;
		}
		if (json_append(left, item, err) < 0)
			return -1;
	}
	return json_set(j->doc, "made", steal_ptr(&left), err) < 0 ? -1 : save(j, err);
}

bool publish_journal_is_done(const struct publish_journal *j, const char *step, const char *region)
{
	const struct json *done = json_get(j->doc, "done");
	char text[128];

	snprintf(text, sizeof(text), "%s %s", step, region);
	for (size_t i = 0; i < json_length(done); i++)
		if (!strcmp(json_text(json_at(done, i), ""), text))
			return true;
	return false;
}

int publish_journal_done(struct publish_journal *j, const char *step, const char *region,
	struct error *err)
{
	char text[128];

	if (publish_journal_is_done(j, step, region))
		return 0;
	snprintf(text, sizeof(text), "%s %s", step, region);
	return json_append_str(json_get(j->doc, "done"), text, err) < 0 ? -1 : save(j, err);
}

int publish_journal_content(struct publish_journal *j, const char *content, struct error *err)
{
	if (!strcmp(json_get_str(j->doc, "content", ""), content))
		return 0;
	if (json_set_str(j->doc, "content", content, err) < 0)
		return -1;
	return json_set(j->doc, "done", json_new_array(err), err);
}

int publish_journal_finish(struct publish_journal *j, struct error *err)
{
	if (j->path && unlink(j->path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot remove '%s'", j->path);
	return 0;
}
