/* SPDX-License-Identifier: Apache-2.0 */
/* Files as devices: holes, refusals, writing. */
#include "base/filedev.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"

/* A nameless file; the folder's file system has holes (ext4, tmpfs, xfs, btrfs all do). */
static int new_file(uint64_t size)
{
	const char *tmp = getenv("TMPDIR");
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/amiwright-filedev-XXXXXX", tmp ? tmp : "/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void test_holes(void **state)
{
	struct error err = ERROR_INIT;
	struct extent_list list = EXTENT_LIST_INIT;
	int fd = new_file(4 * MIB);
	struct dev *dev;
	char got[8];

	(void)state;
	assert_int_equal(pwrite(fd, "abcd", 4, MIB), 4);
	dev = filedev_from_fd(fd, false, "file", &err);
	assert_non_null(dev);
	assert_int_equal(dev->size, 4 * MIB);
	assert_int_equal(dev_extents(dev, 0, dev->size, &list, &err), 0);
	assert_int_equal(list.nr, 3);
	assert_int_equal(list.items[0].kind, EXTENT_ZERO);
	assert_int_equal(list.items[1].kind, EXTENT_DATA);
	assert_int_equal(list.items[1].off, MIB);
	assert_int_equal(list.items[2].kind, EXTENT_ZERO);
	extent_list_clear(&list);
	/* Clipped to what is asked for, wherever that begins. */
	assert_int_equal(dev_extents(dev, MIB + 1, 2, &list, &err), 0);
	assert_int_equal(list.nr, 1);
	assert_int_equal(list.items[0].len, 2);
	assert_int_equal(list.items[0].kind, EXTENT_DATA);
	assert_int_equal(dev_pread(dev, got, 4, MIB, &err), 0);
	assert_memory_equal(got, "abcd", 4);
	assert_int_equal(dev_pwrite(dev, "x", 1, 0, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	extent_list_release(&list);
	assert_int_equal(dev_close(dev, &err), 0);
}

static void test_writing(void **state)
{
	struct error err = ERROR_INIT;
	struct extent_list list = EXTENT_LIST_INIT;
	struct dev *dev = filedev_from_fd(new_file(MIB), true, "file", &err);
	uint64_t len = 100, fd_off;
	char block[8192], got[8192];
	bool owned;
	int fd;

	(void)state;
	assert_non_null(dev);
	memset(block, 'b', sizeof(block));
	assert_int_equal(dev_pwrite(dev, block, sizeof(block), 65536, &err), 0);
	assert_int_equal(dev_clear(dev, 65536 + 10, 100, EXTENT_ZERO, &err), 0);
	assert_int_equal(dev_pread(dev, got, sizeof(got), 65536, &err), 0);
	memset(block + 10, 0, 100);
	assert_memory_equal(got, block, sizeof(got));
	assert_int_equal(dev_clear(dev, 0, dev->size, EXTENT_UNUSED, &err), 0);
	assert_int_equal(dev_extents(dev, 0, dev->size, &list, &err), 0);
	assert_int_equal(list.nr, 1);
	assert_int_equal(list.items[0].kind, EXTENT_ZERO);
	assert_int_equal(dev->size, MIB);
	assert_int_equal(dev_locate(dev, 77, &len, &fd, &fd_off, &owned, &err), 0);
	assert_true(fd >= 0 && !owned && fd_off == 77 && len == 100);
	assert_int_equal(dev_flush(dev, &err), 0);
	extent_list_release(&list);
	assert_int_equal(dev_close(dev, &err), 0);
}

/* Its path is of no regular file that could be opened: connecting is all that a socket allows. */
static void make_socket(const char *path)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(where.sun_path, sizeof(where.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&where, sizeof(where)), 0);
	close(fd);
}

static void test_refusals(void **state)
{
	char fifo[] = "/tmp/amiwright-filedev-XXXXXX";
	struct error err = ERROR_INIT;

	(void)state;
	assert_null(filedev_open("/nonexistent/x", &err));
	assert_int_equal(err.kind, ERROR_IO);
	assert_non_null(strstr(err.text, "'/nonexistent/x'"));
	assert_null(filedev_open("/tmp", &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(err.text, "'/tmp' is a directory, neither a file nor a block device");
	assert_null(filedev_open("/dev/null", &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "is a character device, neither"));
	assert_null(filedev_from_fd(new_file(0), false, "nothing", &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(err.text, "'nothing' is empty, where an image should be");
	assert_non_null(mkdtemp(fifo));
	assert_int_equal(rmdir(fifo), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_null(filedev_open(fifo, &err)); /* and does not hang */
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "is a named pipe, neither a file nor a block device: what comes"));
	unlink(fifo);
	make_socket(fifo);
	assert_null(filedev_open(fifo, &err));
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "is a socket, neither"));
	unlink(fifo);
}

/* A file that was cut after it was opened is an error, not a short answer. */
static void test_shrunk(void **state)
{
	struct error err = ERROR_INIT;
	int fd = new_file(MIB);
	struct dev *dev = filedev_from_fd(fd, false, "shrunk", &err);
	char byte;

	(void)state;
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(dev_pread(dev, &byte, 1, 4096, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_non_null(strstr(err.text, "shrunk"));
	assert_int_equal(dev_close(dev, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_writing),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_shrunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
