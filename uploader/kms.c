/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeKey: one JSON document there, one back. */
#include "uploader/kms.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

static int read_key(const struct aws_call *call, struct kms_key *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc =
		json_parse(buf_str(&call->http.answer), call->http.answer.len, "DescribeKey's answer", err);
	const struct json *key = json_get(doc, "KeyMetadata");
	const char *manager = json_get_str(key, "KeyManager", "");

	if (!doc)
		return -1;
	if (!key)
		return error_set(err, ERROR_SERVICE, 0, "DescribeKey answered without a key");
	snprintf(out->arn, sizeof(out->arn), "%s", json_get_str(key, "Arn", ""));
	snprintf(out->state, sizeof(out->state), "%s", json_get_str(key, "KeyState", ""));
	if (strcmp(manager, "AWS") == 0)
		out->manager = EC2_KEY_AWS;
	else if (strcmp(manager, "CUSTOMER") == 0)
		out->manager = EC2_KEY_CUSTOMER;
	return 0;
}

static int send_call(struct aws *a, struct aws_call *call, const struct buf *body, struct error *err)
{
	call->http.body = body->data;
	call->http.body_len = body->len;
	if (http_add_header(&call->http, "Content-Type", "application/x-amz-json-1.1", err) < 0 ||
		http_add_header(&call->http, "X-Amz-Target", "TrentService.DescribeKey", err) < 0)
		return -1;
	return aws_perform(a, call, err);
}

int kms_describe_key(struct aws *a, const char *key, struct kms_key *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *request = json_new_object(err);
	CLEANUP_BUF struct buf body = BUF_INIT(0);
	struct aws_call call;
	int ret;

	memset(out, 0, sizeof(*out));
	if (!request || json_set_str(request, "KeyId", key, err) < 0 ||
		json_write(request, false, &body, err) < 0 ||
		aws_call_init(a, &call, AWS_KMS, "POST", "/", "DescribeKey", err) < 0)
		return -1;
	snprintf(call.subject, sizeof(call.subject), "%s", key);
	ret = send_call(a, &call, &body, err);
	if (ret == 0)
		ret = read_key(&call, out, err);
	aws_call_release(&call);
	return ret;
}
