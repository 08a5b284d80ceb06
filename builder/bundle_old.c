/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that a bundle has no more. */
#include "builder/bundle_old.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "uploader/s3_each.h"

int bundle_old_read(struct bundle_old *o, const struct s3_place *place, const char *manifest_key, struct error *err)
{
	struct error why = ERROR_INIT;

	memset(o, 0, sizeof(*o));
	buf_init(&o->manifest, BUNDLE_INDEX_MAX);
	if (s3_get_now(place, manifest_key, &o->manifest, &why) < 0) {
		if (strcmp(why.code, "NoSuchKey") == 0)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	o->there = true;
	if (bundle_index_read(&o->index, buf_str(&o->manifest), o->manifest.len, manifest_key, &why) < 0)
		bundle_index_release(&o->index);
	return 0;
}

void bundle_old_release(struct bundle_old *o)
{
	buf_release(&o->manifest);
	bundle_index_release(&o->index);
}

struct listing {
	struct bundle_keys *keys;
	size_t skip; /* bytes of a key before the part's number */
};

static int on_key(void *arg, const char *key, uint64_t size, struct error *err)
{
	const struct listing *l = arg;
	const char *number = key + l->skip;

	(void)size;
	/* "web.part.01" only: "web.part.of.something" is nobody's part. */
	if (!*number || number[strspn(number, "0123456789")])
		return 0;
	l->keys->nr++;
	return buf_add(&l->keys->text, key, strlen(key) + 1, err);
}

int bundle_keys_list(struct bundle_keys *k, const struct s3_place *place, const char *start, struct error *err)
{
	struct listing l = {.keys = k, .skip = strlen(start)};

	return s3_list(place, start, on_key, &l, err);
}

const char **bundle_keys_each(const struct bundle_keys *k, struct error *err)
{
	const char **each = calloc(k->nr + 1, sizeof(*each)), *key = buf_str(&k->text);

	if (!each)
		return error_nomem(err, "the parts of a bundle"), NULL;
	for (size_t i = 0; i < k->nr; i++, key += strlen(key) + 1)
		each[i] = key;
	return each;
}

static bool has_file(const struct bundle_index *b, const char *file)
{
	for (size_t i = 0; i < b->nr_parts; i++)
		if (strcmp(b->parts[i].file, file) == 0)
			return true;
	return false;
}

static int list_named(const struct bundle_old *o, const char *manifest_key, struct bundle_keys *k, struct error *err)
{
	for (size_t i = 0; i < o->index.nr_parts; i++) {
		CLEANUP_FREE char *key = bundle_index_beside(manifest_key, o->index.parts[i].file, err);

		if (!key || buf_add(&k->text, key, strlen(key) + 1, err) < 0)
			return -1;
		k->nr++;
	}
	return 0;
}

static int list_called_so(const struct s3_place *place, const char *manifest_key, struct bundle_keys *k,
	struct error *err)
{
	size_t len = strlen(manifest_key) - (text_ends_with(manifest_key, BUNDLE_SUFFIX) ? strlen(BUNDLE_SUFFIX) : 0);
	CLEANUP_FREE char *start = buf_strf(err, "%.*s.part.", (int)len, manifest_key);

	return start ? bundle_keys_list(k, place, start, err) : -1;
}

static int remove_all(const struct s3_place *place, const struct bundle_keys *k, const char *manifest_key,
	const struct bundle_index *new, struct error *err)
{
	CLEANUP_FREE const char **keys = bundle_keys_each(k, err);
	size_t nr = 0;

	if (!keys)
		return -1;
	for (size_t i = 0; i < k->nr; i++) {
		const char *slash = strrchr(keys[i], '/');

		if (strcmp(keys[i], manifest_key) == 0 || has_file(new, slash ? slash + 1 : keys[i]))
			continue;
		log_debug("deleting s3://%s/%s, which the bundle before had", place->name, keys[i]);
		keys[nr++] = keys[i];
	}
	return s3_delete_each(place, keys, nr, NULL, err);
}

void bundle_old_remove(const struct bundle_old *o, const struct s3_place *place, const char *manifest_key,
	const struct bundle_index *new)
{
	struct bundle_keys k = {.text = BUF_INIT(0)};
	struct error why = ERROR_INIT;

	if (list_named(o, manifest_key, &k, &why) < 0 || list_called_so(place, manifest_key, &k, &why) < 0 ||
		remove_all(place, &k, manifest_key, new, &why) < 0)
		log_warn("parts of the bundle that was replaced may stay beside s3://%s/%s: %s", place->name,
			manifest_key, why.text);
	buf_release(&k.text);
}
