/* SPDX-License-Identifier: Apache-2.0 */
/* S3: who may read an object (PutObjectAcl by canned ACLs, GetObjectAcl), and whether a bucket has ACLs at all. */
#include "uploader/region/s3_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

#define XSI "http://www.w3.org/2001/XMLSchema-instance"
#define GROUPS "http://acs.amazonaws.com/groups/global/"

/* EC2's own account, which aws-exec-read names; the id is the one that AWS answers with. */
#define EC2_ID "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"

static const char *const ownerships[] = {"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"};

static void grant(struct s3_ctx *c, const char *kind, const char *tag, const char *who, const char *permission)
{
	xml_open(&c->xml, "Grant");
	reply_addf(c->reply, "<Grantee xmlns:xsi=\"" XSI "\" xsi:type=\"%s\">", kind);
	xml_str(&c->xml, tag, who);
	xml_close(&c->xml, "Grantee");
	xml_str(&c->xml, "Permission", permission);
	xml_close(&c->xml, "Grant");
}

static void write_grants(struct s3_ctx *c, const char *owner, const char *acl)
{
	grant(c, "CanonicalUser", "ID", owner, "FULL_CONTROL");
	if (strcmp(acl, "aws-exec-read") == 0)
		grant(c, "CanonicalUser", "ID", EC2_ID, "READ");
	if (strncmp(acl, "public-read", 11) == 0)
		grant(c, "Group", "URI", GROUPS "AllUsers", "READ");
	if (strcmp(acl, "public-read-write") == 0)
		grant(c, "Group", "URI", GROUPS "AllUsers", "WRITE");
	if (strcmp(acl, "authenticated-read") == 0)
		grant(c, "Group", "URI", GROUPS "AuthenticatedUsers", "READ");
}

/* The object's record; NULL with an answer. */
static struct json *find(struct s3_ctx *c)
{
	struct error err = ERROR_INIT;
	struct json *doc = s3_object_read(&c->bucket, c->key, &err);

	if (!doc && err.kind != ERROR_NONE)
		s3_internal(c, &err);
	else if (!doc)
		s3_refuse(c, 404, "NoSuchKey", "The specified key does not exist.");
	return doc;
}

void s3_get_acl(struct s3_ctx *c)
{
	const char *owner = json_get_str(c->bucket.doc, "owner", "");
	CLEANUP(json_cleanup) struct json *doc = NULL;

	pthread_mutex_lock(&c->region->s3_lock);
	doc = find(c);
	pthread_mutex_unlock(&c->region->s3_lock);
	if (!doc)
		return;
	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, "AccessControl", "Policy", S3_NAMESPACE);
	xml_open(&c->xml, "Owner");
	xml_str(&c->xml, "ID", owner);
	xml_close(&c->xml, "Owner");
	xml_open(&c->xml, "AccessControlList");
	write_grants(c, owner, json_get_str(doc, "acl", ""));
	xml_close(&c->xml, "AccessControlList");
	xml_close(&c->xml, "AccessControlPolicy");
	c->reply->failed |= c->xml.failed;
}

void s3_put_acl(struct s3_ctx *c)
{
	const char *acl = request_header(c->req, "x-amz-acl");
	CLEANUP(json_cleanup) struct json *doc = NULL;
	struct error err = ERROR_INIT;

	if (!acl) {
		s3_refuse(c, 501, "NotImplemented", "This region takes canned ACLs by x-amz-acl only");
		return;
	}
	if (s3_check_acl(c, acl))
		return;
	pthread_mutex_lock(&c->region->s3_lock);
	doc = find(c);
	if (doc && (json_set_str(doc, "acl", acl, &err) < 0 || s3_object_rewrite(&c->bucket, c->key, doc, &err) < 0))
		s3_internal(c, &err);
	pthread_mutex_unlock(&c->region->s3_lock);
}

void s3_get_ownership(struct s3_ctx *c)
{
	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, "Ownership", "Controls", S3_NAMESPACE);
	xml_open(&c->xml, "Rule");
	xml_str(&c->xml, "ObjectOwnership", json_get_str(c->bucket.doc, "ownership", ""));
	xml_close(&c->xml, "Rule");
	xml_close(&c->xml, "OwnershipControls");
	c->reply->failed |= c->xml.failed;
}

void s3_put_ownership(struct s3_ctx *c)
{
	static const char open_tag[] = "<ObjectOwnership>";
	CLEANUP_BUF struct buf text = BUF_INIT(S3_SMALL_BODY);
	struct error err = ERROR_INIT;
	const char *at;

	if (s3_body_text(c, &text, S3_SMALL_BODY))
		return;
	at = text.len ? strstr(buf_str(&text), open_tag) : NULL;
	for (size_t i = 0; at && i < ARRAY_SIZE(ownerships); i++) {
		size_t len = strlen(ownerships[i]);

		if (strncmp(at + sizeof(open_tag) - 1, ownerships[i], len) || at[sizeof(open_tag) - 1 + len] != '<')
			continue;
		if (json_set_str(c->bucket.doc, "ownership", ownerships[i], &err) < 0 ||
		    s3_bucket_save(&c->bucket, &err) < 0)
			s3_internal(c, &err);
		return;
	}
	s3_refuse(c, 400, "MalformedXML",
		"The XML you provided was not well-formed or did not validate against our published schema");
}
