/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices over NBD, with qemu-img and qemu-io as clients, both at once and one after the other; a client
 * of our own for what they never do. Without QEMU the former are skipped.
 */
#include "base/nbd_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "tests/lib/bytesdev.h"
#include "tests/lib/faultdev.h"

/* No whole number of sectors; what is shown of it is. */
enum { FIRST = 3 * (1 << 20) + 77, SHOWN = FIRST - 77 + 512, SECOND = 1 << 20 };

struct fixture {
	char dir[64], socket[80];
	uint8_t *bytes[2];
	struct dev *devs[2], *served[2], *faulty;
	struct nbd_server *server;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const size_t sizes[2] = {FIRST, SECOND};
	struct error err = ERROR_INIT;

	snprintf(f->dir, sizeof(f->dir), "/tmp/amiwright-nbd-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->dir);
	for (size_t i = 0; i < 2; i++) {
		char path[100];
		FILE *file;

		f->bytes[i] = malloc(sizes[i]);
		for (size_t k = 0; k < sizes[i]; k++)
			f->bytes[i][k] = (uint8_t)((k + 5 * i) * 2654435761u >> 22);
		f->devs[i] = bytesdev_new(f->bytes[i], sizes[i]);
		snprintf(path, sizeof(path), "%s/%zu", f->dir, i);
		file = fopen(path, "w");
		assert_int_equal(fwrite(f->bytes[i], 1, sizes[i], file), sizes[i]);
		assert_int_equal(fclose(file), 0);
	}
	f->faulty = faultdev_new(f->devs[1]);
	f->served[0] = f->devs[0];
	f->served[1] = f->faulty;
	f->server = nbd_server_start(f->served, 2, f->socket, &err);
	*state = f;
	return f->server ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char line[100];

	nbd_server_stop(f->server, NULL);
	dev_close(f->faulty, NULL);
	for (size_t i = 0; i < 2; i++) {
		dev_close(f->devs[i], NULL);
		free(f->bytes[i]);
	}
	snprintf(line, sizeof(line), "rm -r '%s'", f->dir);
	free(f);
	return system(line);
}

static int shell(const struct fixture *f, const char *command)
{
	char line[900];

	snprintf(line, sizeof(line), "cd '%s' && (%s) >log 2>&1", f->dir, command);
	return system(line);
}

static void need_qemu(void)
{
	if (system("qemu-img --version >/dev/null 2>&1") != 0)
		skip();
}

static void test_qemu_reads_the_same_bytes(void **state)
{
	const struct fixture *f = *state;

	need_qemu();
	assert_int_equal(shell(f, "qemu-img info 'nbd+unix:///0?socket=socket'"), 0);
	for (int i = 0; i < 2; i++) {
		char line[300];

		snprintf(line, sizeof(line),
			"qemu-img convert -f raw -O raw 'nbd+unix:///%d?socket=socket' out && "
			"cmp -n $(stat -c %%s %d) out %d", i, i, i);
		assert_int_equal(shell(f, line), 0);
	}
	/* As qemu has it: an overlay of qcow2 over an export. */
	assert_int_equal(shell(f,
		"qemu-img create -q -f qcow2 -b nbd:unix:socket:exportname=1 -F raw over && "
		"qemu-io -f qcow2 -c 'write -P 7 4096 4096' -c 'read -P 7 4096 4096' over && "
		"qemu-img convert -O raw over out && cmp -n 4096 out 1 && ! cmp out 1"), 0);
}

static void test_connections_at_the_same_time(void **state)
{
	need_qemu();
	assert_int_equal(shell(*state,
		"for i in 1 2 3 4; do for e in 0 1; do "
		"qemu-img convert -f raw -O raw \"nbd+unix:///$e?socket=socket\" out$e$i & done; done; wait; "
		"for i in 1 2 3 4; do cmp -n $(stat -c %s 0) out0$i 0 && cmp out1$i 1 || exit 1; done"), 0);
}

static void test_what_is_not_served(void **state)
{
	need_qemu();
	assert_int_not_equal(shell(*state, "qemu-img info 'nbd+unix:///2?socket=socket'"), 0);
	assert_int_not_equal(shell(*state, "qemu-img info 'nbd+unix:///?socket=socket'"), 0);
	assert_int_not_equal(shell(*state, "qemu-img info 'nbd+unix:///01234567890?socket=socket'"), 0);
	assert_int_not_equal(
		shell(*state, "qemu-io -f raw -c 'write 0 512' 'nbd+unix:///1?socket=socket'"), 0);
	assert_int_equal(shell(*state, "qemu-io -r -f raw -c 'read 0 512' 'nbd+unix:///1?socket=socket'"), 0);
}

static int connect_to(const struct fixture *f)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(where.sun_path, sizeof(where.sun_path), "%s", f->socket);
	assert_int_equal(connect(fd, (const struct sockaddr *)&where, sizeof(where)), 0);
	return fd;
}

static void get(int fd, void *data, size_t len)
{
	assert_int_equal(recv(fd, data, len, MSG_WAITALL), len);
}

static void put(int fd, const void *data, size_t len)
{
	assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), len);
}

static void put_option(int fd, uint32_t option, const void *data, uint32_t len)
{
	uint8_t head[16] = "IHAVEOPT";

	num_put_be32(head + 8, option);
	num_put_be32(head + 12, len);
	put(fd, head, sizeof(head));
	put(fd, data, len);
}

/* By EXPORT_NAME, as the oldest clients do. */
static int open_export(const struct fixture *f, const char *name, uint64_t *size)
{
	int fd = connect_to(f);
	uint8_t hello[18], export[10];

	get(fd, hello, sizeof(hello));
	assert_memory_equal(hello, "NBDMAGICIHAVEOPT\0\3", 18);
	put(fd, "\0\0\0\3", 4);
	put_option(fd, 1, name, (uint32_t)strlen(name));
	get(fd, export, sizeof(export));
	*size = num_get_be64(export);
	assert_int_equal(export[9] & 3, 3);
	return fd;
}

static void put_request(int fd, uint16_t type, uint64_t off, uint32_t len)
{
	uint8_t r[28] = {0};

	num_put_be32(r, 0x25609513);
	num_put_be16(r + 6, type);
	memcpy(r + 8, "cookie!!", 8);
	num_put_be64(r + 16, off);
	num_put_be32(r + 24, len);
	put(fd, r, sizeof(r));
}

static uint32_t get_reply(int fd)
{
	uint8_t r[16];

	get(fd, r, sizeof(r));
	assert_int_equal(num_get_be32(r), 0x67446698);
	assert_memory_equal(r + 8, "cookie!!", 8);
	return num_get_be32(r + 4);
}

static void test_requests(void **state)
{
	static const struct {
		uint16_t type;
		uint64_t off;
		uint32_t len, error;
	} cases[] = {
		{0, 0, 0, 0}, {0, SHOWN, 0, 0}, {0, SHOWN - 1, 2, 22}, {0, UINT64_MAX, 2, 22},
		{0, 0, UINT32_MAX, 22}, {3, 0, 0, 0}, {4, 0, 512, 22}, {99, 0, 0, 22},
	};
	struct fixture *f = *state;
	uint8_t data[100];
	uint64_t size;
	int fd = open_export(f, "0", &size);

	assert_int_equal(size, SHOWN);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_request(fd, cases[i].type, cases[i].off, cases[i].len);
		assert_int_equal(get_reply(fd), cases[i].error);
	}
	put_request(fd, 1, 0, sizeof(data));
	put(fd, data, sizeof(data));
	assert_int_equal(get_reply(fd), 1);
	put_request(fd, 0, FIRST - 50, 100);
	assert_int_equal(get_reply(fd), 0);
	get(fd, data, sizeof(data));
	assert_memory_equal(data, f->bytes[0] + FIRST - 50, 50);
	for (size_t i = 50; i < sizeof(data); i++)
		assert_int_equal(data[i], 0);
	put_request(fd, 0, SHOWN - 100, 100);
	assert_int_equal(get_reply(fd), 0);
	get(fd, data, sizeof(data));
	put_request(fd, 2, 0, 0);
	assert_int_equal(recv(fd, data, 1, 0), 0);
	close(fd);
}

/* Those who do not speak the protocol, or leave in the middle, disturb nobody. */
static void test_strangers(void **state)
{
	static const char *const words[] = {"", "GET / HTTP/1.1\r\n\r\n", "\0\0\0\3IHAVEOPT",
		"\0\0\0\3IHAVEOPT\0\0\0\7\377\377\377\377", "\0\0\0\0IHAVEOPT\0\0\0\1\0\0\0\0010"};
	static const size_t lengths[] = {0, 18, 12, 20, 21};
	struct fixture *f = *state;
	uint64_t size;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		fd = connect_to(f);
		put(fd, words[i], lengths[i]);
		close(fd);
	}
	fd = open_export(f, "1", &size);
	put_request(fd, 1, 0, 1000);
	close(fd);
	fd = open_export(f, "1", &size);
	assert_int_equal(size, SECOND);
	put_request(fd, 0, 0, 0);
	assert_int_equal(get_reply(fd), 0);
	close(fd);
}

static void test_says_why_reading_failed(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	struct stat st;
	uint64_t size;
	int fd = open_export(f, "1", &size);

	faultdev_fail(f->faulty, FAULTDEV_PREAD, 1);
	put_request(fd, 0, 0, 512);
	assert_int_equal(get_reply(fd), 5);
	put_request(fd, 0, 0, 0);
	assert_int_equal(get_reply(fd), 0);
	assert_int_equal(nbd_server_stop(f->server, &err), -1);
	assert_int_equal(err.kind, ERROR_IO);
	assert_true(*err.text);
	assert_int_equal(stat(f->socket, &st), -1);
	close(fd);
	f->server = NULL;
}

static void test_a_path_that_is_too_long_or_taken(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	char path[300];

	assert_null(nbd_server_start(f->devs, 1, f->socket, &err));
	assert_non_null(strstr(err.text, "cannot listen at"));
	snprintf(path, sizeof(path), "%s/%0200d", f->dir, 0);
	assert_null(nbd_server_start(f->devs, 1, path, &err));
	assert_non_null(strstr(err.text, "too long"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_qemu_reads_the_same_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connections_at_the_same_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_not_served, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strangers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_says_why_reading_failed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_path_that_is_too_long_or_taken, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
