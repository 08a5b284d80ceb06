/* SPDX-License-Identifier: Apache-2.0 */
/* Inside http*.c. */
#ifndef AMIWRIGHT_UPLOADER_HTTP_INTERNAL_H
#define AMIWRIGHT_UPLOADER_HTTP_INTERNAL_H

#include "uploader/http.h"

/* ERROR_USAGE for an address that is not to be asked; allow_plain: http:// to other machines, too. */
int http_url_check(const char *url, bool allow_plain, struct error *err) MUST_CHECK;

/* Overwrites and frees; NULL is fine. */
void http_wipe(char *text);
/* What an earlier answer left in the request. */
void http_drop_answer_headers(struct http_request *req);
/* Appends copies of name and value, which need no NUL. */
int http_push_header(struct http_header **list, size_t *nr, const char *name, size_t name_len,
	const char *value, size_t value_len, struct error *err) MUST_CHECK;

#endif
