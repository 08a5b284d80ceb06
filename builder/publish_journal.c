/* SPDX-License-Identifier: Apache-2.0 */
/* A small JSON document and a lock beside it. */
#include "builder/publish_journal.h"

#include <dirent.h>
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

/* The account in the name of the one journal that begins so; "account" when there is no such one. */
static int guess_account(const char *dir, const char *head, char *account, size_t size,
	struct error *err)
{
	DIR *d = opendir(dir);
	size_t head_len = strlen(head), nr = 0;
	struct dirent *e;

	if (!d)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", dir);
	snprintf(account, size, "account");
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);

		if (len <= head_len + 5 || strncmp(e->d_name, head, head_len) ||
			strcmp(e->d_name + len - 5, ".json") || len - head_len - 5 >= size)
			continue;
		if (!nr++)
			snprintf(account, size, "%.*s", (int)(len - head_len - 5), e->d_name + head_len);
	}
	closedir(d);
	if (nr > 1)
		return error_set(err, ERROR_POLICY, 0,
			"'%s' has journals of %zu accounts for this AMI, and STS does not say whose "
			"credentials these are", dir, nr);
	return 0;
}

static int set_paths(struct publish_journal *j, const char *dir, const struct publish_journal_key *key,
	struct error *err)
{
	CLEANUP_BUF struct buf head = BUF_INIT(0);
	char account[64];

	if (add_escaped(&head, key->name, err) < 0 || buf_addf(&head, err, ".%s.", key->region) < 0)
		return -1;
	if (key->account)
		snprintf(account, sizeof(account), "%s", key->account);
	else if (guess_account(dir, buf_str(&head), account, sizeof(account), err) < 0)
		return -1;
	j->path = buf_strf(err, "%s/%s%s.json", dir, buf_str(&head), account);
	j->lock_path = buf_strf(err, "%s/%s%s.lock", dir, buf_str(&head), account);
	return j->path && j->lock_path ? 0 : -1;
}

/*
 * The lock file goes with the journal; whoever waited for the name of one that was removed tries
 * again.
 */
static int try_lock(struct publish_journal *j, const char *name, bool *again, struct error *err)
{
	CLEANUP_CLOSE int fd = open(j->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat mine, named;

	*again = false;
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", j->lock_path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return error_set(err, ERROR_IO, errno, "cannot lock '%s'", j->lock_path);
		return error_set(err, ERROR_POLICY, 0, "'%s' is being published by another process", name);
	}
	*again = fstat(fd, &mine) < 0 || stat(j->lock_path, &named) < 0 ||
		 mine.st_ino != named.st_ino || mine.st_dev != named.st_dev;
	if (*again)
		return 0;
	/* From now on it is ours, to unlink as well. */
	j->lock_fd = fd;
	fd = -1;
	return 0;
}

static int lock(struct publish_journal *j, const char *name, struct error *err)
{
	bool again;

	do {
		if (try_lock(j, name, &again, err) < 0)
			return -1;
	} while (again);
	return 0;
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
		json_set_str(j->doc, "account", key->account ? key->account : "", err) < 0 ||
		json_set_str(j->doc, "spec", key->spec, err) < 0 ||
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

static struct json *item_json(const struct publish_made *made, struct error *err)
{
	CLEANUP(json_cleanup) struct json *item = json_new_object(err);

	if (!item || json_set_str(item, "kind", kinds[made->kind], err) < 0 ||
		json_set_str(item, "region", made->region, err) < 0 ||
		json_set_str(item, "id", made->id, err) < 0 ||
		(made->device && json_set_str(item, "device", made->device, err) < 0))
		return NULL;
	return steal_ptr(&item);
}

static bool is_same(const struct publish_made *a, const struct publish_made *b)
{
	return a->kind == b->kind && !strcmp(a->region, b->region) && !strcmp(a->id, b->id);
}

static bool knows(const struct publish_journal *j, const struct publish_made *made)
{
	struct publish_made item;

	for (size_t i = 0; publish_journal_item(j, i, &item); i++)
		if (is_same(&item, made))
			return true;
	return false;
}

/* All items but `without`, and then `with`; either may be NULL. */
static int change(struct publish_journal *j, const struct publish_made *without,
	const struct publish_made *with, struct error *err)
{
	CLEANUP(json_cleanup) struct json *items = json_new_array(err);
	struct publish_made item;

	if (!items)
		return -1;
	for (size_t i = 0; publish_journal_item(j, i, &item); i++)
		if ((!without || !is_same(&item, without)) &&
			json_append(items, item_json(&item, err), err) < 0)
			return -1;
	if (with && json_append(items, item_json(with, err), err) < 0)
		return -1;
	return json_set(j->doc, "made", steal_ptr(&items), err) < 0 ? -1 : save(j, err);
}

int publish_journal_intend(struct publish_journal *j, enum publish_kind kind, const char *region,
	struct error *err)
{
	const struct publish_made intent = {kind, region, "", NULL};

	return knows(j, &intent) ? 0 : change(j, NULL, &intent, err);
}

int publish_journal_made(struct publish_journal *j, const struct publish_made *made, struct error *err)
{
	const struct publish_made intent = {made->kind, made->region, "", NULL};

	if (knows(j, made))
		return knows(j, &intent) ? change(j, &intent, NULL, err) : 0;
	return change(j, &intent, made, err);
}

int publish_journal_gone(struct publish_journal *j, const struct publish_made *made, struct error *err)
{
	return change(j, made, NULL, err);
}

static void step_text(char text[160], const char *step, const char *wishes, const char *ami)
{
	snprintf(text, 160, "%s %.16s %s", step, wishes, ami);
}

bool publish_journal_is_done(const struct publish_journal *j, const char *step, const char *wishes,
	const char *ami)
{
	const struct json *done = json_get(j->doc, "done");
	char text[160];

	step_text(text, step, wishes, ami);
	for (size_t i = 0; i < json_length(done); i++)
		if (!strcmp(json_text(json_at(done, i), ""), text))
			return true;
	return false;
}

int publish_journal_done(struct publish_journal *j, const char *step, const char *wishes,
	const char *ami, struct error *err)
{
	char text[160];

	if (publish_journal_is_done(j, step, wishes, ami))
		return 0;
	step_text(text, step, wishes, ami);
	return json_append_str(json_get(j->doc, "done"), text, err) < 0 ? -1 : save(j, err);
}

int publish_journal_finish(struct publish_journal *j, struct error *err)
{
	if (j->path && unlink(j->path) < 0 && errno != ENOENT)
		return error_set(err, ERROR_IO, errno, "cannot remove '%s'", j->path);
	return 0;
}
