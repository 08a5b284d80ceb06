/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints: AWS's own host for a service and region, by the partition that the region's name
 * shows, or the user's, which goes before.
 */
#include "uploader/aws_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* Labels of host names; S3 alone puts "dualstack" before the region. */
static const struct {
	const char *name, *host, *fips_host;
	bool gov_is_fips; /* in GovCloud the ordinary endpoint is the FIPS one */
} services[AWS_SERVICES] = {
	[AWS_EBS] = {"ebs", "ebs", "ebs-fips", false},
	[AWS_EC2] = {"ec2", "ec2", "ec2-fips", true},
	[AWS_STS] = {"sts", "sts", "sts-fips", true},
	[AWS_KMS] = {"kms", "kms", "kms-fips", false},
	[AWS_S3] = {"s3", "s3", "s3-fips", false},
	[AWS_SSO] = {"sso", "portal.sso", "portal.sso-fips", true},
	[AWS_SSO_OIDC] = {"sso_oidc", "oidc", "oidc-fips", true},
};

/* A partition by the beginning of its regions' names; dualstack NULL: it has none. */
struct partition {
	const char *prefix, *suffix, *dualstack;
};

/* The beginnings exclude each other but for the last, which takes all others. */
static const struct partition partitions[] = {
	{"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
	{"us-gov-", "amazonaws.com", "api.aws"},
	{"us-isob-", "sc2s.sgov.gov", "api.aws.scloud"},
	{"us-isof-", "csp.hci.ic.gov", NULL},
	{"us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk", NULL},
	{"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
	{"", "amazonaws.com", "api.aws"},
};

const char *aws_service_name(enum aws_service service)
{
	return services[service].name;
}

static const struct partition *partition_of(const char *region)
{
	const struct partition *p = partitions;

	while (strncmp(region, p->prefix, strlen(p->prefix)) != 0)
		p++;
	return p;
}

/* AWS's own; as the endpoint rules of its SDKs have it. */
static char *own_endpoint(enum aws_service service, const char *region, unsigned kind,
	struct error *err)
{
	const struct partition *p = partition_of(region);
	bool fips = kind & AWS_ENDPOINT_FIPS, dual = kind & AWS_ENDPOINT_DUALSTACK;
	const char *host = fips ? services[service].fips_host : services[service].host;

	if (dual && !p->dualstack)
		return error_null(err, ERROR_USAGE, 0,
			"region '%s' has no endpoints with IPv6: leave AWS_USE_DUALSTACK_ENDPOINT out",
			region);
	if (service == AWS_S3)
		return buf_strf(err, "https://%s.%s%s.%s", host, dual ? "dualstack." : "", region,
			p->suffix);
	if (fips && !dual && services[service].gov_is_fips && strcmp(p->prefix, "us-gov-") == 0)
		host = services[service].host;
	return buf_strf(err, "https://%s.%s.%s", host, region, dual ? p->dualstack : p->suffix);
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
	char shown[HTTP_SHOWN_SIZE];

	return error_set(err, ERROR_USAGE, 0,
		"endpoint '%s' %s: use one like https://host:port or https://host/prefix",
		http_url_shown(shown, url), what);
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

/* host: of url, host_len bytes to the path. */
static int check_endpoint(const char *url, const char *host, size_t host_len, struct error *err)
{
	if (host_len == 0 || host[0] == ':')
		return malformed(url, "has no host", err);
	if (memchr(host, '@', host_len))
		return malformed(url, "contains a user name", err);
	if (strpbrk(host, "?#") || strpbrk(url, " \t\r\n"))
		return malformed(url, "contains a query, a fragment or a space", err);
	if (host[0] == '[' && !memchr(host, ']', host_len))
		return malformed(url, "has no ']' behind its IPv6 address", err);
	if (!http_url_port_ok(url))
		return malformed(url, "has a port that is not a number from 1 to 65535", err);
	return 0;
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
	if (check_endpoint(url, host, host_len, err) < 0)
		return -1;
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
	const char *url, unsigned kind, struct error *err)
{
	CLEANUP_FREE char *own = NULL;

	memset(e, 0, sizeof(*e));
	e->conflict = url && url[0] && kind;
	if (check_region(region, err) < 0)
		return -1;
	if (!url || !url[0]) {
		own = own_endpoint(service, region, kind, err);
		if (!own)
			return -1;
		url = own;
		e->own = true;
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
