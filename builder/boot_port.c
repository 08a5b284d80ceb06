/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A socket with SO_REUSEADDR that is bound and does not listen: the kernel then refuses the port to
 * plain binds and never gives it out as a free one, yet lets QEMU, which sets the option too, bind it
 * and listen. Binding fails when somebody listens there already.
 */
#include "builder/boot_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/num.h"

static int bind_to(int fd, uint16_t *port, struct error *err)
{
	struct sockaddr_in where = {
		.sin_family = AF_INET,
		.sin_port = htons(*port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(where);

	if (bind(fd, (struct sockaddr *)&where, len) < 0)
		return errno == EADDRINUSE ?
			error_set(err, ERROR_IO, 0,
				"--ssh: port %u of 127.0.0.1 is in use; --ssh 0 takes a free one", *port) :
			error_set(err, ERROR_IO, errno, "--ssh: cannot take port %u of 127.0.0.1", *port);
	if (getsockname(fd, (struct sockaddr *)&where, &len) < 0)
		return error_set(err, ERROR_IO, errno, "--ssh: cannot take a free port");
	*port = ntohs(where.sin_port);
	return 0;
}

static int share(int fd, struct error *err)
{
	int yes = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
		return error_set(err, ERROR_IO, errno, "cannot share a port");
	return 0;
}

int boot_port_hold(const char *text, uint16_t *port, int *fd, struct error *err)
{
	CLEANUP_CLOSE int held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t number;

	if (num_parse(text, 65535, &number, err) < 0)
		return error_wrap(err, "--ssh");
	if (held < 0)
		return error_set(err, ERROR_IO, errno, "cannot make a socket");
	*port = (uint16_t)number;
	/* A free port must be free of other sharers; a given one may have old connections at their end. */
	if ((number && share(held, err) < 0) || bind_to(held, port, err) < 0 ||
		(!number && share(held, err) < 0))
		return -1;
	*fd = steal_fd(&held);
	return 0;
}
