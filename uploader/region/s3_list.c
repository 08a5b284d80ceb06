/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3: ListObjectsV2 and ListObjects, and the walk over buckets. All records of a bucket are read and sorted: a
 * rehearsal has few. A continuation token is the hex of the last key or common prefix.
 */
#include "uploader/region/s3_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/num.h"

enum { LIST_MAX = 1000 };

struct records {
	struct json **items; /* owned */
	size_t nr, alloc;
};

static void records_release(struct records *r)
{
	for (size_t i = 0; i < r->nr; i++)
		json_free(r->items[i]);
	free(r->items);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(json_get_str(*(struct json *const *)a, "key", ""),
		json_get_str(*(struct json *const *)b, "key", ""));
}

static int add_record(struct records *r, struct json *doc, struct error *err)
{
	if (ARRAY_GROW(r->items, r->nr + 1, r->alloc, "list of objects", err) < 0) {
		json_free(doc);
		return -1;
	}
	r->items[r->nr++] = doc;
	return 0;
}

static int read_records(const struct s3_bucket *b, struct records *r, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/objects", b->dir);
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *entry;
	int ret = path ? 0 : -1;

	while (dir && ret == 0 && (entry = readdir(dir))) {
		CLEANUP_FREE char *name = NULL;
		struct json *doc = NULL;

		if (!strstr(entry->d_name, ".json"))
			continue;
		name = buf_strf(err, "%s/%s", path, entry->d_name);
		ret = name ? s3_json_read(name, &doc, err) : -1;
		if (ret == 0 && doc)
			ret = add_record(r, doc, err);
	}
	if (dir)
		closedir(dir);
	if (ret == 0 && r->nr)
		qsort(r->items, r->nr, sizeof(r->items[0]), by_key);
	return ret;
}

/* A listing in progress. */
struct list {
	const char *prefix, *delimiter;
	char after[S3_KEY_SIZE];  /* what was given last */
	bool encode;              /* encoding-type=url */
	bool first;               /* ListObjects: the first version, which goes on by markers */
	uint64_t max, nr;
	char common[S3_KEY_SIZE]; /* the common prefix that was written last */
	bool truncated;
};

static bool parse_list(struct s3_ctx *c, struct list *l)
{
	const char *max = form_get(&c->query, "max-keys"), *start = form_get(&c->query, "start-after");
	const char *token = form_get(&c->query, "continuation-token");
	const char *encoding = form_get(&c->query, "encoding-type");
	const char *version = form_get(&c->query, "list-type");

	l->prefix = form_get(&c->query, "prefix");
	l->delimiter = form_get(&c->query, "delimiter");
	l->prefix = l->prefix ? l->prefix : "";
	l->delimiter = l->delimiter ? l->delimiter : "";
	l->encode = encoding && strcmp(encoding, "url") == 0;
	l->max = LIST_MAX;
	l->first = !version;
	if (version && strcmp(version, "2") != 0)
		return s3_refuse(c, 400, "InvalidArgument", "list-type must be 2");
	if (max && num_parse(max, INT32_MAX, &l->max, NULL) < 0)
		return s3_refuse(c, 400, "InvalidArgument", "max-keys is no number");
	l->max = MIN(l->max, (uint64_t)LIST_MAX);
	if (l->first)
		start = form_get(&c->query, "marker");
	if (start)
		(void)snprintf(l->after, sizeof(l->after), "%s", start);
	if (!token || l->first)
		return false;
	if (strlen(token) % 2 || strlen(token) / 2 >= sizeof(l->after) ||
	    hex_decode(l->after, strlen(token) / 2, token))
		return s3_refuse(c, 400, "InvalidArgument", "The continuation token provided is incorrect");
	l->after[strlen(token) / 2] = '\0';
	return false;
}

static void write_key(struct s3_ctx *c, const struct list *l, const char *tag, const char *key)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4 * S3_KEY_SIZE);

	if (!l->encode)
		xml_str(&c->xml, tag, key);
	else if (sigv4_encode(&text, key, strlen(key), true, NULL) < 0)
		c->reply->failed = true;
	else
		xml_str(&c->xml, tag, buf_str(&text));
}

/* The common prefix of a key into out; false when it has none. */
static bool common_prefix(const struct list *l, const char *key, char out[S3_KEY_SIZE])
{
	const char *at = *l->delimiter ? strstr(key + strlen(l->prefix), l->delimiter) : NULL;
	size_t len = at ? (size_t)(at - key) + strlen(l->delimiter) : 0;

	if (!at || len >= S3_KEY_SIZE)
		return false;
	memcpy(out, key, len);
	out[len] = '\0';
	return true;
}

static void write_object(struct s3_ctx *c, const struct list *l, const struct json *doc)
{
	char time[NUM_TIME_TEXT + 8], etag[80];

	num_format_time(time, json_get_int(doc, "modified", 0));
	memcpy(time + strlen(time) - 1, ".000Z", sizeof(".000Z"));
	(void)snprintf(etag, sizeof(etag), "\"%s\"", json_get_str(doc, "etag", ""));
	xml_open(&c->xml, "Contents");
	write_key(c, l, "Key", json_get_str(doc, "key", ""));
	xml_str(&c->xml, "LastModified", time);
	xml_str(&c->xml, "ETag", etag);
	xml_int(&c->xml, "Size", json_get_int(doc, "size", 0));
	xml_str(&c->xml, "StorageClass", "STANDARD");
	xml_close(&c->xml, "Contents");
}

/* One record: an object, a common prefix, or nothing that is new. False when the page is full. */
static bool list_one(struct s3_ctx *c, struct list *l, const struct json *doc)
{
	const char *key = json_get_str(doc, "key", "");
	char prefix[S3_KEY_SIZE];
	bool grouped;

	if (strncmp(key, l->prefix, strlen(l->prefix)) != 0)
		return true;
	grouped = common_prefix(l, key, prefix);
	if (strcmp(grouped ? prefix : key, l->after) <= 0 || (grouped && strcmp(prefix, l->common) == 0))
		return true;
	if (l->nr == l->max) {
		l->truncated = l->max > 0; /* a page of nothing has no token to go on from */
		return false;
	}
	l->nr++;
	if (!grouped) {
		write_object(c, l, doc);
		(void)snprintf(l->common, sizeof(l->common), "%s", key);
		return true;
	}
	xml_open(&c->xml, "CommonPrefixes");
	write_key(c, l, "Prefix", prefix);
	xml_close(&c->xml, "CommonPrefixes");
	(void)snprintf(l->common, sizeof(l->common), "%s", prefix);
	return true;
}

static void write_list(struct s3_ctx *c, struct list *l, const struct records *r)
{
	char token[2 * S3_KEY_SIZE];

	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, "ListBucket", "Result", S3_NAMESPACE);
	xml_str(&c->xml, "Name", c->bucket_name);
	write_key(c, l, "Prefix", l->prefix);
	if (*l->delimiter)
		write_key(c, l, "Delimiter", l->delimiter);
	if (l->encode)
		xml_str(&c->xml, "EncodingType", "url");
	xml_int(&c->xml, "MaxKeys", (int64_t)l->max);
	for (size_t i = 0; i < r->nr && list_one(c, l, r->items[i]); i++)
		continue;
	if (!l->first)
		xml_int(&c->xml, "KeyCount", (int64_t)l->nr);
	xml_bool(&c->xml, "IsTruncated", l->truncated);
	if (l->truncated && l->first)
		write_key(c, l, "NextMarker", l->common);
	else if (l->truncated)
		xml_str(&c->xml, "NextContinuationToken", hex_encode(token, l->common, strlen(l->common)));
	xml_close(&c->xml, "ListBucketResult");
	c->reply->failed |= c->xml.failed;
}

void s3_list_objects(struct s3_ctx *c)
{
	CLEANUP(records_release) struct records records = {.nr = 0};
	struct list l = {.max = 0};
	struct error err = ERROR_INIT;
	int ret;

	if (parse_list(c, &l))
		return;
	pthread_mutex_lock(&c->region->s3_lock);
	ret = read_records(&c->bucket, &records, &err);
	pthread_mutex_unlock(&c->region->s3_lock);
	if (ret < 0)
		s3_internal(c, &err);
	else
		write_list(c, &l, &records);
}

bool s3_bucket_at(struct region *r, size_t wanted, char **name, struct s3_bucket *out)
{
	struct store *store;
	size_t seen = 0;

	for (size_t i = 0; (store = stores_at(&r->stores, i)); i++) {
		CLEANUP_FREE char *path = buf_strf(NULL, "%s/buckets", store->dir);
		DIR *dir = path ? opendir(path) : NULL;
		const struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			if (entry->d_name[0] == '.' || seen++ != wanted)
				continue;
			*name = strdup(entry->d_name);
			closedir(dir);
			return !*name || s3_bucket_find(r, *name, out, NULL) < 0 || !out->dir;
		}
		if (dir)
			closedir(dir);
	}
	return true;
}
