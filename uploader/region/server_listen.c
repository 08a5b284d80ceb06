/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's socket: where it listens, and how many connections the process has files for.
 */
#include "uploader/region/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "base/cleanup.h"

enum {
	CONNECTION_LIMIT = 1000,
	OTHER_FILES = 64, /* that we have open beside two for each connection */
};

static int parse_address(const char *address, uint16_t port, struct sockaddr_in *out,
	struct error *err)
{
	*out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, address, &out->sin_addr) == 1)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"'%s' is no address to listen on: an IPv4 address like 127.0.0.1 is right", address);
}

unsigned server_connection_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY ||
	    files.rlim_cur >= 2 * CONNECTION_LIMIT + OTHER_FILES)
		return CONNECTION_LIMIT;
	return files.rlim_cur > 2 * OTHER_FILES ? (unsigned)(files.rlim_cur - OTHER_FILES) / 2 : OTHER_FILES / 2;
}

/* where gets the port. -1 with errno. */
static int listen_at(struct sockaddr_in *where)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	socklen_t len = sizeof(*where);

	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
			       bind(fd, (const struct sockaddr *)where, len) < 0 ||
			       listen(fd, SOMAXCONN) < 0 ||
			       getsockname(fd, (struct sockaddr *)where, &len) < 0)) {
		cleanup_close_p(&fd);
		return -1;
	}
	return fd;
}

int server_listen(const char *address, uint16_t *port, struct error *err)
{
	struct sockaddr_in where;
	int fd;

	if (parse_address(address, *port, &where, err) < 0)
		return -1;
	fd = listen_at(&where);
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot listen on %s port %u", address, *port);
	*port = ntohs(where.sin_port);
	return fd;
}
