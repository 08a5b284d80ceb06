/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NBD's requests after the handshake, big-endian, and their simple replies:
 *
 *   client: 0x25609513 flags(2) type(2) cookie(8) offset(8) length(4) [data of a write]
 *   server: 0x67446698 error(4) cookie(8) [data of a read without error]
 */
#include "base/nbd_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

#define REQUEST_MAGIC 0x25609513u
#define REPLY_MAGIC 0x67446698u
enum { CMD_READ = 0, CMD_WRITE = 1, CMD_DISC = 2, CMD_FLUSH = 3 };
enum { REQUEST_SIZE = 28, REPLY_SIZE = 16, SECTOR = 512 };
/* The protocol's numbers, which are those of Linux. */
enum { NBD_EPERM = 1, NBD_EIO = 5, NBD_ENOMEM = 12, NBD_EINVAL = 22 };

static void put_reply(uint8_t out[REPLY_SIZE], uint32_t error, const uint8_t *request)
{
	num_put_be32(out, REPLY_MAGIC);
	num_put_be32(out + 4, error);
	memcpy(out + 8, request + 8, 8);
}

static bool say(const struct nbd_client *c, uint32_t error, const uint8_t *request)
{
	uint8_t head[REPLY_SIZE];

	put_reply(head, error, request);
	return nbd_send(c->fd, head, sizeof(head));
}

uint64_t nbd_size(const struct dev *dev)
{
	return num_div_up(dev->size, SECTOR) * SECTOR;
}

static int read_padded(struct dev *dev, uint8_t *data, size_t len, uint64_t off, struct error *err)
{
	size_t here = (size_t)MIN(len, dev->size - MIN(off, dev->size));

	memset(data + here, 0, len - here);
	return here ? dev_pread(dev, data, here, off, err) : 0;
}

static bool serve_read(const struct nbd_client *c, const uint8_t *request, struct error *failed)
{
	uint64_t off = num_get_be64(request + 16);
	uint32_t len = num_get_be32(request + 24);
	struct error err = ERROR_INIT;
	CLEANUP_FREE uint8_t *data = NULL;

	if (len > NBD_LENGTH_MAX || off > nbd_size(c->dev) || len > nbd_size(c->dev) - off)
		return say(c, NBD_EINVAL, request);
	data = malloc(REPLY_SIZE + (size_t)len);
	if (!data)
		return say(c, NBD_ENOMEM, request);
	if (read_padded(c->dev, data + REPLY_SIZE, len, off, &err) < 0) {
		if (failed->kind == ERROR_NONE)
			*failed = err;
		return say(c, NBD_EIO, request);
	}
	put_reply(data, 0, request);
	return nbd_send(c->fd, data, REPLY_SIZE + (size_t)len);
}

/* Its data are on their way and have to be taken. */
static bool refuse_write(const struct nbd_client *c, const uint8_t *request)
{
	uint8_t rest[4096];

	for (uint32_t len = num_get_be32(request + 24), n; len > 0; len -= n) {
		n = MIN(len, sizeof(rest));
		if (!nbd_receive(c->fd, rest, n))
			return false;
	}
	return say(c, NBD_EPERM, request);
}

bool nbd_serve(struct nbd_client *c, struct error *failed)
{
	uint8_t request[REQUEST_SIZE];

	if (!nbd_receive(c->fd, request, sizeof(request)) || num_get_be32(request) != REQUEST_MAGIC)
		return false;
	switch (num_get_be32(request + 4) & 0xffff) {
	case CMD_READ:
		return serve_read(c, request, failed);
	case CMD_WRITE:
		return refuse_write(c, request);
	case CMD_DISC:
		return false;
	case CMD_FLUSH:
		return say(c, 0, request);
	default:
		return say(c, NBD_EINVAL, request);
	}
}
