/* SPDX-License-Identifier: Apache-2.0 */
/* The sink of a bundle that is a bucket. */
#include "builder/bundle_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "builder/bundle_journal.h"
#include "builder/bundle_old.h"
#include "uploader/journal_file.h"
#include "uploader/s3_each.h"
#include "uploader/s3_store.h"

struct bundle_upload {
	const struct bundle_target *target;
	struct bundle_sink sink;
	struct bundle_journal *journal;
	struct s3_store *store;
	char *location; /* of the manifest, when it is there; owned */
	char *key;      /* of the manifest; owned */
	bool begun, replace, resumed;
	struct bundle_old old;     /* with replace */
	struct bundle_index index; /* of the new manifest, when it is there */
};

/* In the state folder: the digest of the place. */
static char *journal_path(struct context *ctx, const char *place, struct error *err)
{
	CLEANUP_FREE char *dir = context_state_dir(ctx, err);
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	if (!dir || sha256(place, strlen(place), digest, err) < 0)
		return NULL;
	return buf_strf(err, "%s/%.40s.amiwright-bundle", dir, hex_encode(hex, digest, sizeof(digest)));
}

static char *place_of(const struct bundle_target *t, const char *prefix, struct error *err)
{
	CLEANUP_FREE char *location = bundle_target_location(t, prefix, err);

	return location ? buf_strf(err, "s3://%s", location) : NULL;
}

static char *manifest_key(const struct bundle_target *t, const char *prefix, struct error *err)
{
	CLEANUP_FREE char *file = buf_strf(err, "%s" BUNDLE_SUFFIX, prefix);

	return file ? bundle_target_key(t, file, err) : NULL;
}

/* A manifest that is there is another bundle's: this one's would be the last thing of its run. */
static int check_free(const struct bundle_upload *u, struct error *err)
{
	struct s3_object object;

	if (s3_head(&u->target->place, u->key, &object, err) < 0)
		return -1;
	return object.found ? bundle_target_taken(u->target, u->key, "give another --prefix", err) : 0;
}

/* In the thread that sends. */
static int begin(void *arg, const char *key, const uint8_t digest[SHA256_SIZE], bool *maybe_there,
	struct error *err)
{
	struct bundle_upload *u = arg;

	return bundle_journal_begin(u->journal, key, digest, maybe_there, err);
}

static int on_part(void *arg, const struct bundle_part *part, struct error *err)
{
	struct bundle_upload *u = arg;
	CLEANUP_FREE char *key = bundle_target_key(u->target, part->name, err);

	if (!key)
		return -1;
	u->begun = true;
	return s3_store_put(u->store, key, part->data, err);
}

static int on_manifest(void *arg, const char *name, const void *data, size_t len, struct error *err)
{
	struct bundle_upload *u = arg;
	const struct bundle_target *t = u->target;
	struct s3_store_counts counts;

	if (bundle_index_read(&u->index, data, len, name, err) < 0 || s3_store_finish(u->store, &counts, err) < 0)
		return -1;
	if (counts.there)
		log_info("%llu parts were there already", (unsigned long long)counts.there);
	if (bundle_target_put_manifest(t, u->key, data, len, u->replace, err) < 0)
		return -1;
	if (u->replace)
		bundle_old_remove(&u->old, &t->place, u->key, &u->index);
	u->location = bundle_target_location(t, name, err);
	return u->location ? 0 : -1;
}

/* Nobody but us knows of the journal by name. */
static int is_busy(const char *place, struct error *err)
{
	if (!err || err->kind != ERROR_POLICY)
		return -1;
	return error_set(err, ERROR_POLICY, 0, "another process is uploading to %s, or cleaning up there", place);
}

static int open_journal(struct bundle_upload *u, struct context *ctx, struct bundle_opts *opts,
	struct error *err)
{
	CLEANUP_FREE char *place = place_of(u->target, opts->prefix, err);
	CLEANUP_FREE char *path = place ? journal_path(ctx, place, err) : NULL;

	if (!path)
		return -1;
	u->journal = bundle_journal_open(path, place, opts->key, opts->certificate, opts->seed, &u->resumed, err);
	return u->journal ? 0 : is_busy(place, err);
}

struct bundle_upload *bundle_upload_new(struct context *ctx, const struct bundle_target *target,
	struct bundle_opts *opts, bool replace, struct error *err)
{
	struct bundle_upload *u = calloc(1, sizeof(*u));
	struct s3_store_opts store = {.acl = target->acl, .type = "application/octet-stream", .begin = begin,
		.arg = u};

	if (!u)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an upload");
	u->target = target;
	u->replace = replace;
	u->key = manifest_key(target, opts->prefix, err);
	u->sink = (struct bundle_sink){.part = on_part, .manifest = on_manifest, .arg = u};
	/* The journal first, as a lock: what is there is so until this run changes it. */
	if (!u->key || open_journal(u, ctx, opts, err) < 0 ||
		(replace ? bundle_old_read(&u->old, &target->place, u->key, err) : check_free(u, err)) < 0 ||
		!(u->store = s3_store_new(&target->place, &store, err))) {
		bundle_upload_free(u);
		return NULL;
	}
	if (u->resumed)
		log_info("going on with an earlier upload to s3://%s/%s", target->url.bucket, u->key);
	return u;
}

const struct bundle_sink *bundle_upload_sink(struct bundle_upload *u)
{
	return &u->sink;
}

int bundle_upload_explain(const struct bundle_upload *u, struct error *err)
{
	/* A rule that was met is told with its own remedy. */
	if (!u->begun || err->kind == ERROR_POLICY)
		return -1;
	/* As long as its manifest is there, nothing is cleaned up under it. */
	if (u->old.there)
		return error_wrap(err,
			"the bundle is not whole in S3, nor is the one that it replaces; rerun the same command to "
			"go on, or remove both: 'amiwright delete-bundle s3://%s/%s', then --cleanup",
			u->target->url.bucket, u->key);
	return error_wrap(err,
		"the bundle is not whole in S3; rerun the same command to go on, or with --cleanup to "
		"remove its parts");
}

int bundle_upload_finish(struct bundle_upload *u, char **location, struct error *err)
{
	*location = steal_ptr(&u->location);
	return bundle_journal_remove(u->journal, err);
}

void bundle_upload_free(struct bundle_upload *u)
{
	struct error err = ERROR_INIT;

	if (!u)
		return;
	s3_store_free(u->store);
	/* A run that has sent nothing leaves nothing. */
	if (u->journal && !u->resumed && !u->begun && bundle_journal_remove(u->journal, &err) < 0)
		log_warn("%s", err.text);
	bundle_journal_free(u->journal);
	bundle_old_release(&u->old);
	bundle_index_release(&u->index);
	free(u->location);
	free(u->key);
	free(u);
}

static int remove_parts(const struct bundle_target *t, const char *prefix, struct buf *out, struct error *err)
{
	CLEANUP_FREE char *file = buf_strf(err, "%s.part.", prefix);
	CLEANUP_FREE char *start = file ? bundle_target_key(t, file, err) : NULL;
	CLEANUP_FREE const char **keys = NULL;
	struct bundle_keys k = {.text = BUF_INIT(0)};
	int ret = -1;

	if (start && bundle_keys_list(&k, &t->place, start, err) == 0 && (keys = bundle_keys_each(&k, err)))
		ret = s3_delete_each(&t->place, keys, k.nr, out, err);
	buf_release(&k.text);
	return ret;
}

/* With a journal the manifest is that of a bundle which was being replaced, some parts of it perhaps already. */
static int refuse_clean(const char *place, bool begun, struct error *err)
{
	if (!begun)
		return error_set(err, ERROR_POLICY, 0,
			"%s" BUNDLE_SUFFIX " is there, so the bundle is whole: 'amiwright delete-bundle %s"
			BUNDLE_SUFFIX "' removes it", place, place);
	return error_set(err, ERROR_POLICY, 0,
		"%s" BUNDLE_SUFFIX " is there, and an upload that was to replace it has not ended: rerun that with "
		"--force to go on, or remove both: 'amiwright delete-bundle %s" BUNDLE_SUFFIX "', then --cleanup",
		place, place);
}

int bundle_upload_clean(struct context *ctx, const struct bundle_target *target, const char *prefix,
	struct buf *out, struct error *err)
{
	CLEANUP_FREE char *place = place_of(target, prefix, err);
	CLEANUP_FREE char *path = place ? journal_path(ctx, place, err) : NULL;
	CLEANUP_FREE char *key = path ? manifest_key(target, prefix, err) : NULL;
	struct journal_file journal = JOURNAL_FILE_INIT;
	struct s3_object object;
	struct stat st;
	bool begun = false;
	int ret = -1;

	if (!key)
		return -1;
	/* Held to the end, also when no upload has left one: none begins meanwhile. */
	if (journal_file_open(&journal, path, O_CREAT, err) < 0) {
		ret = is_busy(place, err);
		goto out;
	}
	begun = fstat(journal.fd, &st) < 0 || st.st_size > 0;
	if (s3_head(&target->place, key, &object, err) < 0)
		goto out;
	ret = object.found ? refuse_clean(place, begun, err) : remove_parts(target, prefix, out, err);
out:
	if (journal.fd >= 0 && (ret == 0 || !begun) && unlink(path) < 0 && ret == 0)
		ret = error_set(err, ERROR_IO, errno, "cannot remove '%s'", path);
	journal_file_close(&journal);
	return ret;
}
