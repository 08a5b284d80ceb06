/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EC2 Query protocol: a form-encoded body out, XML back. Lists are flat and count from 1
 * (Filter.1.Value.1), an absent member is left out.
 */
#include "uploader/ec2_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/paging.h"
#include "uploader/sigv4.h"

#define VERSION "2016-11-15"

/*
 * EC2 filters behind the pages in some lists: as many empty ones in a row as 100000 snapshots (the
 * quota of a region) or all public AMIs have at 1000 a page, and some.
 */
enum {
	MAX_ANSWER = 32 * 1024 * 1024,
	MAX_EMPTY_PAGES = 500,
	MAX_PAGES = 10000, /* a list without end would fill the memory */
	TOKEN_SIZE = 4096,
};

int ec2_query_begin(struct buf *q, const char *action, struct error *err)
{
	return buf_addf(q, err, "Action=%s&Version=" VERSION, action);
}

static int add_pair(struct buf *q, const char *name, const char *value, struct error *err)
{
	if (buf_addf(q, err, "&%s=", name) < 0)
		return -1;
	return sigv4_encode(q, value, strlen(value), false, err);
}

int ec2_query_add(struct buf *q, struct error *err, const char *value, const char *fmt, ...)
{
	char name[160];
	va_list ap;

	if (!value)
		return 0;
	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	return add_pair(q, name, value, err);
}

int ec2_query_number(struct buf *q, struct error *err, uint64_t value, const char *fmt, ...)
{
	char name[160], text[32];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "%" PRIu64, value);
	return add_pair(q, name, text, err);
}

int ec2_query_tag_spec(struct buf *q, const char *type, const struct aws_tag *tags, size_t nr,
	struct error *err)
{
	if (nr == 0)
		return 0;
	if (ec2_query_add(q, err, type, "TagSpecification.1.ResourceType") < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		if (ec2_query_add(q, err, tags[i].key, "TagSpecification.1.Tag.%zu.Key", i + 1) < 0 ||
		    ec2_query_add(q, err, tags[i].value, "TagSpecification.1.Tag.%zu.Value", i + 1) < 0)
			return -1;
	}
	return 0;
}

static struct xmldoc *read_answer(const struct aws_call *call, struct error *err)
{
	struct xmldoc *doc = aws_answer_xml(buf_str(&call->http.answer), call->http.answer.len, err);
	char root[80];

	if (!doc) {
		error_wrap(err, "%s", call->operation);
		return NULL;
	}
	snprintf(root, sizeof(root), "%sResponse", call->operation);
	if (xmldoc_is(xmldoc_root(doc), root))
		return doc;
	xmldoc_free(doc);
	return error_null(err, ERROR_SERVICE, 0, "%s: the answer is not a %s", call->operation, root);
}

struct xmldoc *ec2_perform(struct aws *a, const struct ec2_request *req, const struct buf *query,
	struct error *err)
{
	struct xmldoc *doc = NULL;
	struct aws_call call;

	if (aws_call_init(a, &call, AWS_EC2, "POST", "/", req->action, err) < 0)
		return NULL;
	snprintf(call.subject, sizeof(call.subject), "%s", req->subject ? req->subject : "");
	call.fresh_snapshot = req->fresh_snapshot;
	call.once = req->once;
	call.http.fresh_connection = req->once;
	call.http.max_answer = MAX_ANSWER;
	call.http.body = query->data;
	call.http.body_len = query->len;
	if (http_add_header(&call.http, "Content-Type",
		    "application/x-www-form-urlencoded; charset=utf-8", err) == 0 &&
	    aws_perform(a, &call, err) == 0)
		doc = read_answer(&call, err);
	aws_call_release(&call);
	return doc;
}

int ec2_change(struct aws *a, const struct ec2_request *req, struct buf *query, bool dry_run,
	struct xmldoc **doc, struct error *err)
{
	struct error why = ERROR_INIT;
	struct xmldoc *answer;

	if (doc)
		*doc = NULL;
	if (ec2_query_add(query, err, dry_run ? "true" : NULL, "DryRun") < 0)
		return -1;
	answer = ec2_perform(a, req, query, &why);
	if (!answer && dry_run && strcmp(why.code, "DryRunOperation") == 0)
		return 0;
	if (!answer) {
		if (err)
			*err = why;
		return -1;
	}
	if (doc)
		*doc = answer;
	else
		xmldoc_free(answer);
	if (dry_run)
		return error_set(err, ERROR_SERVICE, 0, "%s: the dry run was not taken for one",
			req->action);
	return 0;
}

/* What page after page is asked for with. */
struct listing {
	struct aws *aws;
	const struct ec2_request *req;
	const struct buf *query;
	char token[TOKEN_SIZE]; /* of the next page; "": the first, or none */
	struct paging paging;
};

/* Sends for a page and notes the token of the one behind it. */
static struct xmldoc *ask_page(struct listing *l, struct error *err)
{
	CLEANUP_BUF struct buf q = BUF_INIT(0);
	struct xmldoc *doc;

	if (buf_add(&q, l->query->data, l->query->len, err) < 0 ||
	    (l->token[0] && ec2_query_add(&q, err, l->token, "NextToken") < 0))
		return NULL;
	doc = ec2_perform(l->aws, l->req, &q, err);
	if (doc)
		xmldoc_child_text(xmldoc_root(doc), "nextToken", l->token, sizeof(l->token));
	return doc;
}

int ec2_pages(struct aws *a, const struct ec2_request *req, const struct buf *query,
	int (*page)(void *arg, const struct xmldoc_node *root, struct error *err), void *arg,
	struct error *err)
{
	struct listing l = {.aws = a, .req = req, .query = query,
		.paging = {.max_empty = MAX_EMPTY_PAGES}};
	int ret = 0;

	for (int i = 0; ret == 0 && (i == 0 || l.token[0]); i++) {
		CLEANUP(xmldoc_cleanup) struct xmldoc *doc = ask_page(&l, err);
		const struct xmldoc_node *root = doc ? xmldoc_root(doc) : NULL;

		ret = doc ? page(arg, root, err) : -1;
		if (ret == 0 && i == MAX_PAGES)
			ret = error_set(err, ERROR_SERVICE, 0, "%s: over %d pages of answers",
				req->action, MAX_PAGES);
		if (ret == 0 && l.token[0])
			ret = paging_next(&l.paging, !xmldoc_has_grandchild(root, "item"), l.token,
				req->action, err);
	}
	paging_release(&l.paging);
	return ret < 0 ? -1 : 0;
}
