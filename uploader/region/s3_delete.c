/* SPDX-License-Identifier: Apache-2.0 */
/* S3: DeleteObject, and DeleteObjects, which takes a thousand keys in a document. */
#include "uploader/region/s3_internal.h"

#include <string.h>

#include "base/xmldoc.h"

enum { KEYS_MAX = 1000 };

/* One that is not there is gone. */
static int delete_key(struct s3_ctx *c, const char *key, struct error *err)
{
	int ret;

	pthread_mutex_lock(&c->region->s3_lock);
	ret = s3_object_remove(&c->bucket, key, err);
	pthread_mutex_unlock(&c->region->s3_lock);
	return ret;
}

void s3_delete_object(struct s3_ctx *c)
{
	struct error err = ERROR_INIT;

	if (delete_key(c, c->key, &err) < 0)
		s3_internal(c, &err);
	else
		c->reply->status = 204;
}

/* How it went, as a child of DeleteResult; nothing when all is well and only trouble is asked for. */
static void delete_listed(struct s3_ctx *c, const struct xmldoc_node *object, bool quiet)
{
	char key[S3_KEY_SIZE], version[S3_TEXT_SIZE];
	struct error err = ERROR_INIT;
	const char *code = "InternalError";
	bool ok;

	xmldoc_child_text(object, "Key", key, sizeof(key));
	ok = !xmldoc_child_text(object, "VersionId", version, sizeof(version));
	if (!ok) {
		code = "NotImplemented";
		error_set(&err, ERROR_INPUT, 0, "This region has no versions");
	} else {
		ok = delete_key(c, key, &err) == 0;
	}
	if (ok && quiet)
		return;
	xml_open(&c->xml, ok ? "Deleted" : "Error");
	xml_str(&c->xml, "Key", key);
	if (!ok) {
		xml_str(&c->xml, "Code", code);
		xml_str(&c->xml, "Message", err.text);
	}
	xml_close(&c->xml, ok ? "Deleted" : "Error");
}

void s3_delete_objects(struct s3_ctx *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT(S3_DOCUMENT_MAX + 1);
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	const struct xmldoc_node *root, *first;
	size_t nr = 0;

	if (s3_body_text(c, &text, S3_DOCUMENT_MAX))
		return;
	doc = xmldoc_parse(buf_str(&text), text.len, NULL);
	root = doc ? xmldoc_root(doc) : NULL;
	first = root && xmldoc_is(root, "Delete") ? xmldoc_child(root, "Object") : NULL;
	for (const struct xmldoc_node *n = first; n; n = xmldoc_next(n))
		nr++;
	if (nr == 0 || nr > KEYS_MAX) {
		s3_refuse(c, 400, "MalformedXML",
			"The XML you provided was not well-formed or did not validate against our published schema");
		return;
	}
	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, "Delete", "Result", S3_NAMESPACE);
	for (const struct xmldoc_node *n = first; n; n = xmldoc_next(n))
		delete_listed(c, n, xmldoc_child_bool(root, "Quiet", false));
	xml_close(&c->xml, "DeleteResult");
	c->reply->failed |= c->xml.failed;
}
