/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints: AWS's own host for a service and region, by the partition that the region's name
 * shows, or the user's.
 */
#include "uploader/aws_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

const char *aws_service_name(enum aws_service service)
{
	static const char *const names[AWS_SERVICES] = {
		[AWS_EBS] = "ebs", [AWS_EC2] = "ec2", [AWS_STS] = "sts", [AWS_KMS] = "kms", [AWS_S3] = "s3",
	};

	return names[service];
}

/* Prefixes of region names, longest match not needed: they exclude each other in this order. */
static const char *dns_suffix(const char *region)
{
	static const struct {
		const char *prefix, *suffix;
	} partitions[] = {
		{"cn-", "amazonaws.com.cn"},      {"us-isob-", "sc2s.sgov.gov"},
		{"us-isof-", "csp.hci.ic.gov"},   {"us-iso-", "c2s.ic.gov"},
		{"eu-isoe-", "cloud.adc-e.uk"},   {"eusc-", "amazonaws.eu"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(partitions); i++) {
		if (strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)) == 0)
			return partitions[i].suffix;
	}
	return "amazonaws.com";
}

static int check_region(const char *region, struct error *err)
{
	size_t len = region ? strlen(region) : 0;

	if (len == 0)
		return error_set(err, ERROR_USAGE, 0,
			"no region: give --region or set AWS_REGION, for example us-east-1");
	if (len > 40 || strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is not a region name: use one like us-east-1", region);
	return 0;
}

static int malformed(const char *url, const char *what, struct error *err)
{
	return error_set(err, ERROR_USAGE, 0,
		"endpoint '%s' %s: use one like https://host:port or https://host/prefix", url, what);
}

/* The authority as libcurl and the SDKs put it into Host: a default port is left out. */
static char *authority_of(const char *host, size_t len, bool https, struct error *err)
{
	const char *port = https ? ":443" : ":80";
	size_t port_len = strlen(port);

	if (len > port_len && memcmp(host + len - port_len, port, port_len) == 0)
		len -= port_len;
	return buf_strf(err, "%.*s", (int)len, host);
}

static int parse_endpoint(struct aws_endpoint *e, const char *url, struct error *err)
{
	bool https = strncmp(url, "https://", 8) == 0;
	const char *host = url + (https ? 8 : 7), *path;
	size_t host_len, path_len;

	if (!https && strncmp(url, "http://", 7) != 0)
		return malformed(url, "is not an http or https address", err);
	host_len = strcspn(host, "/?#");
	path = host + host_len;
	path_len = strlen(path);
	if (host_len == 0 || host[0] == ':')
		return malformed(url, "has no host", err);
	if (memchr(host, '@', host_len))
		return malformed(url, "contains a user name", err);
	if (strpbrk(path, "?#") || strpbrk(url, " \t\r\n"))
		return malformed(url, "contains a query, a fragment or a space", err);
	while (path_len > 0 && path[path_len - 1] == '/')
		path_len--;
	e->loopback = http_url_is_loopback(url);
	e->base = buf_strf(err, "%.*s", (int)(path - url), url);
	if (!e->base)
		return -1;
	e->prefix = buf_strf(err, "%.*s", (int)path_len, path);
	if (!e->prefix)
		return -1;
	e->authority = authority_of(host, host_len, https, err);
	return e->authority ? 0 : -1;
}

int aws_endpoint_init(struct aws_endpoint *e, enum aws_service service, const char *region,
	const char *url, struct error *err)
{
	CLEANUP_FREE char *own = NULL;

	memset(e, 0, sizeof(*e));
	if (check_region(region, err) < 0)
		return -1;
	if (!url || !url[0]) {
		own = buf_strf(err, "https://%s.%s.%s", aws_service_name(service), region,
			dns_suffix(region));
		if (!own)
			return -1;
		url = own;
	}
	return parse_endpoint(e, url, err);
}

void aws_endpoint_release(struct aws_endpoint *e)
{
	free(e->base);
	free(e->authority);
	free(e->prefix);
	memset(e, 0, sizeof(*e));
}
