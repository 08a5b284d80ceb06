/* SPDX-License-Identifier: Apache-2.0 */
/* S3: what uploads in parts are under way (ListMultipartUploads), and what came of one (ListParts). */
#include "uploader/region/s3_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum { UPLOADS_MAX = 1000 };

void s3_list_parts(struct s3_ctx *c)
{
	CLEANUP_FREE char *path = s3_upload_path(c, "");
	char time[NUM_TIME_TEXT], etag[40];

	if (!path)
		return;
	s3_write_upload(c, "ListParts", form_get(&c->query, "uploadId"));
	xml_int(&c->xml, "MaxParts", S3_PARTS_MAX);
	xml_bool(&c->xml, "IsTruncated", false);
	for (uint64_t n = 1; n <= S3_PARTS_MAX; n++) {
		CLEANUP_FREE char *file = buf_strf(NULL, "%s%llu.json", path, (unsigned long long)n);
		CLEANUP(json_cleanup) struct json *doc = NULL;

		if (!file || s3_json_read(file, &doc, NULL) < 0 || !doc)
			continue;
		(void)snprintf(etag, sizeof(etag), "\"%s\"", json_get_str(doc, "etag", ""));
		xml_open(&c->xml, "Part");
		xml_int(&c->xml, "PartNumber", (int64_t)n);
		xml_str(&c->xml, "LastModified", num_format_time(time, json_get_int(doc, "modified", 0)));
		xml_str(&c->xml, "ETag", etag);
		xml_int(&c->xml, "Size", json_get_int(doc, "size", 0));
		xml_close(&c->xml, "Part");
	}
	xml_close(&c->xml, "ListPartsResult");
	c->reply->failed |= c->xml.failed;
}

/* True when it was listed. */
static bool write_one(struct s3_ctx *c, const char *id, const char *prefix)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/uploads/%s/upload.json", c->bucket.dir, id);
	CLEANUP(json_cleanup) struct json *doc = NULL;
	char time[NUM_TIME_TEXT];
	const char *key;

	if (!path || s3_json_read(path, &doc, NULL) < 0 || !doc)
		return false;
	key = json_get_str(doc, "key", "");
	if (strncmp(key, prefix, strlen(prefix)) != 0)
		return false;
	xml_open(&c->xml, "Upload");
	xml_str(&c->xml, "Key", key);
	xml_str(&c->xml, "UploadId", id);
	xml_str(&c->xml, "Initiated", num_format_time(time, json_get_int(doc, "begun", 0)));
	xml_str(&c->xml, "StorageClass", "STANDARD");
	xml_close(&c->xml, "Upload");
	return true;
}

/* In one page, in no order of keys: a rehearsal has few. */
void s3_list_uploads(struct s3_ctx *c)
{
	const char *prefix = form_get(&c->query, "prefix");
	CLEANUP_FREE char *path = buf_strf(NULL, "%s/uploads", c->bucket.dir);
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *entry;
	unsigned nr = 0;

	if (form_get(&c->query, "delimiter") || form_get(&c->query, "key-marker")) {
		s3_refuse(c, 501, "NotImplemented", "This region lists uploads in one page, without delimiter");
		if (dir)
			closedir(dir);
		return;
	}
	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, "ListMultipartUploads", "Result", S3_NAMESPACE);
	xml_str(&c->xml, "Bucket", c->bucket_name);
	xml_str(&c->xml, "Prefix", prefix ? prefix : "");
	xml_int(&c->xml, "MaxUploads", UPLOADS_MAX);
	xml_bool(&c->xml, "IsTruncated", false);
	while (dir && nr < UPLOADS_MAX && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			nr += write_one(c, entry->d_name, prefix ? prefix : "");
	if (dir)
		closedir(dir);
	xml_close(&c->xml, "ListMultipartUploadsResult");
	c->reply->failed |= c->xml.failed;
}
