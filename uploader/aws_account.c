/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose credentials these are: STS GetCallerIdentity, which needs no permission. A source gives those of
 * one account, so the answer holds for all clients of a provider.
 */
#include "uploader/aws.h"

#include <string.h>

#include "base/xmldoc.h"
#include "uploader/aws_internal.h"

static int read_identity(const struct http_request *http, char account[AWS_ACCOUNT_SIZE],
	struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;

	doc = aws_answer_xml(buf_str(&http->answer), http->answer.len, err);
	if (!doc)
		return error_wrap(err, "GetCallerIdentity");
	xmldoc_child_text(xmldoc_child(xmldoc_root(doc), "GetCallerIdentityResult"), "Account", account,
		AWS_ACCOUNT_SIZE);
	if (strlen(account) == 12 && strspn(account, "0123456789") == 12)
		return 0;
	account[0] = '\0';
	return error_set(err, ERROR_SERVICE, 0,
		"GetCallerIdentity: the answer has no account number of 12 digits");
}

int aws_account(struct aws *a, char account[AWS_ACCOUNT_SIZE], struct error *err)
{
	static const char body[] = "Action=GetCallerIdentity&Version=2011-06-15";
	char *known = aws_account_slot(a);
	struct aws_call call;
	int ret = 0;

	if (!known)
		return error_set(err, ERROR_USAGE, 0, "no AWS credentials for GetCallerIdentity");
	if (!known[0]) {
		if (aws_call_init(a, &call, AWS_STS, "POST", "/", "GetCallerIdentity", err) < 0)
			return -1;
		call.http.body = body;
		call.http.body_len = strlen(body);
		ret = http_add_header(&call.http, "Content-Type",
			"application/x-www-form-urlencoded; charset=utf-8", err);
		if (ret == 0)
			ret = aws_perform(a, &call, err);
		if (ret == 0)
			ret = read_identity(&call.http, known, err);
		aws_call_release(&call);
	}
	memcpy(account, known, AWS_ACCOUNT_SIZE);
	return ret;
}
