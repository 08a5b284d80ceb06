/* SPDX-License-Identifier: Apache-2.0 */
/* See interrupt.h. */
#include "base/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool (*asked)(void);

void interrupt_ask(bool (*cancelled)(void))
{
	asked = cancelled;
}

int interrupt_check(struct error *err)
{
	if (!asked || !asked())
		return 0;
	return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
}

int interrupt_open(const char *path, int flags, mode_t mode, struct error *err)
{
	int fd;

	while ((fd = open(path, flags, mode)) < 0 && errno == EINTR) {
		if (interrupt_check(err) < 0)
			return error_wrap(err, "opening '%s'", path);
	}
	return fd >= 0 ? fd : error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
}

ssize_t interrupt_read(int fd, void *buf, size_t len, const char *path, struct error *err)
{
	ssize_t n;

	while ((n = read(fd, buf, len)) < 0 && errno == EINTR) {
		if (interrupt_check(err) < 0)
			return error_wrap(err, "reading '%s'", path);
	}
	return n >= 0 ? n : error_set(err, ERROR_IO, errno, "cannot read '%s'", path);
}
