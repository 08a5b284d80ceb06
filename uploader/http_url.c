/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of an address without asking for it. */
#include "uploader/http_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_loopback(const char *host, size_t len)
{
	if (len >= 4 && memcmp(host, "127.", 4) == 0) {
		for (size_t i = 4; i < len; i++) {
			if ((host[i] < '0' || host[i] > '9') && host[i] != '.')
				return false;
		}
		return true;
	}
	/* Names below "localhost" too (RFC 6761, 6.3), which libcurl resolves by itself. */
	if (len > 10 && strncasecmp(host + len - 10, ".localhost", 10) == 0)
		return true;
	return (len == 9 && strncasecmp(host, "localhost", 9) == 0) ||
	       (len == 5 && memcmp(host, "[::1]", 5) == 0);
}

bool http_url_is_loopback(const char *url)
{
	const char *host = strstr(url, "://");
	size_t len;

	if (!host)
		return false;
	host += 3;
	len = strcspn(host, "/?#");
	if (memchr(host, '@', len))
		return false;
	return is_loopback(host, host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#"));
}

/* What follows the scheme, if there is one. */
static const char *after_scheme(const char *url)
{
	size_t len = strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return strncmp(url + len, "://", 3) == 0 ? url + len + 3 : url;
}

bool http_url_port_ok(const char *url)
{
	const char *host = after_scheme(url), *end = host + strcspn(host, "/?#");
	const char *at = memrchr(host, '@', (size_t)(end - host)), *port;
	unsigned long number = 0;

	host = at ? at + 1 : host;
	port = host + (*host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#"));
	if (port >= end)
		return true;
	if (*port++ != ':' || port == end || *port == '0')
		return false;
	for (; port < end && *port >= '0' && *port <= '9' && number <= UINT16_MAX; port++)
		number = number * 10 + (unsigned long)(*port - '0');
	return port == end && number <= UINT16_MAX;
}

/* The last '@' counts: nobody knows where a password with a '/' in it should have ended. */
const char *http_url_shown(char out[HTTP_SHOWN_SIZE], const char *url)
{
	const char *host = after_scheme(url), *at = strrchr(host, '@'), *rest = at ? at : host;
	size_t len = strcspn(rest, "?#");

	(void)snprintf(out, HTTP_SHOWN_SIZE, "%.*s%s%.*s%.1s%s", (int)(host - url), url,
		at ? "***" : "", (int)len, rest, rest + len, rest[len] ? "***" : "");
	return out;
}

int http_url_check(const char *url, bool allow_plain, struct error *err)
{
	const char *host = after_scheme(url);
	char shown[HTTP_SHOWN_SIZE];
	bool https = strncmp(url, "https://", 8) == 0;

	if (!https && strncmp(url, "http://", 7) != 0)
		return error_set(err, ERROR_USAGE, 0, "'%s' is not an http or https address",
			http_url_shown(shown, url));
	if (memchr(host, '@', strcspn(host, "/?#")))
		return error_set(err, ERROR_USAGE, 0, "'%s' contains a user name: leave it out",
			http_url_shown(shown, url));
	if (!http_url_port_ok(url))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' has a port that is not a number from 1 to 65535",
			http_url_shown(shown, url));
	if (https || allow_plain || http_url_is_loopback(url))
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"'%s' would send data without encryption: use https, an address of this machine, or say "
		"that you mean it by --endpoint-url",
		http_url_shown(shown, url));
}
