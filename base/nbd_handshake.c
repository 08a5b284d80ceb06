/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NBD's fixed newstyle handshake, big-endian:
 *
 *   server: "NBDMAGIC" "IHAVEOPT" flags(2)              client: flags(4)
 *   client: "IHAVEOPT" option(4) length(4) data         again and again
 *   server: REPLY(8) option(4) type(4) length(4) data   until GO (or EXPORT_NAME) is granted
 */
#include "base/nbd_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/num.h"

enum { FIXED_NEWSTYLE = 1, NO_ZEROES = 2 };
enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_INFO = 6, OPT_GO = 7 };
enum { REP_ACK = 1, REP_INFO = 3 };
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };
enum { HAS_FLAGS = 1, READ_ONLY = 2, CAN_MULTI_CONN = 256 };
#define REP_ERR_UNSUP 0x80000001u
#define REP_ERR_INVALID 0x80000003u
#define REP_ERR_UNKNOWN 0x80000006u
#define REPLY_MAGIC UINT64_C(0x3e889045565a9)

/* Options are short: a name, a few numbers. */
enum { OPTIONS_MAX = 64, OPTION_LENGTH_MAX = 8192, NAME_MAX_LEN = 8 };

bool nbd_receive(int fd, void *data, size_t len)
{
	for (char *to = data; len > 0;) {
		ssize_t n = recv(fd, to, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		to += n;
		len -= (size_t)n;
	}
	return true;
}

bool nbd_send(int fd, const void *data, size_t len)
{
	for (const char *from = data; len > 0;) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		from += n;
		len -= (size_t)n;
	}
	return true;
}

static bool reply(int fd, uint32_t option, uint32_t type, const void *data, uint32_t len)
{
	uint8_t head[20];

	num_put_be64(head, REPLY_MAGIC);
	num_put_be32(head + 8, option);
	num_put_be32(head + 12, type);
	num_put_be32(head + 16, len);
	return nbd_send(fd, head, sizeof(head)) && nbd_send(fd, data, len);
}

/* The export's number as text, nothing around it; NULL: there is none of that name. */
static struct dev *find(const uint8_t *name, size_t len, struct dev *const *devs, size_t nr)
{
	char text[NAME_MAX_LEN + 1] = "";
	uint64_t index;

	if (len == 0 || len > NAME_MAX_LEN)
		return NULL;
	memcpy(text, name, len);
	return num_parse(text, UINT32_MAX, &index, NULL) == 0 && index < nr ? devs[index] : NULL;
}

static void put_export(uint8_t out[10], const struct dev *dev)
{
	num_put_be64(out, nbd_size(dev));
	num_put_be16(out + 8, HAS_FLAGS | READ_ONLY | CAN_MULTI_CONN);
}

/* Sizes and flags; granted when the option is GO. */
static bool inform(struct nbd_client *c, uint32_t option, const uint8_t *data, uint32_t len,
	struct dev *const *devs, size_t nr)
{
	uint8_t export[12] = {0, INFO_EXPORT}, blocks[14] = {0, INFO_BLOCK_SIZE};
	uint32_t name_len = len < 6 ? 0 : num_get_be32(data);
	struct dev *dev;

	if (len < 6 || name_len > len - 6)
		return reply(c->fd, option, REP_ERR_INVALID, NULL, 0);
	dev = find(data + 4, name_len, devs, nr);
	if (!dev)
		return reply(c->fd, option, REP_ERR_UNKNOWN, NULL, 0);
	put_export(export + 2, dev);
	num_put_be32(blocks + 2, 1);
	num_put_be32(blocks + 6, 4096);
	num_put_be32(blocks + 10, NBD_LENGTH_MAX);
	if (!reply(c->fd, option, REP_INFO, export, sizeof(export)) ||
		!reply(c->fd, option, REP_INFO, blocks, sizeof(blocks)) ||
		!reply(c->fd, option, REP_ACK, NULL, 0))
		return false;
	if (option == OPT_GO)
		c->dev = dev;
	return true;
}

/* The oldest way to choose: there is no answer but the export, or the end. */
static bool choose(struct nbd_client *c, const uint8_t *name, uint32_t len, bool zeroes,
	struct dev *const *devs, size_t nr)
{
	uint8_t export[10 + 124] = {0};

	c->dev = find(name, len, devs, nr);
	if (!c->dev)
		return false;
	put_export(export, c->dev);
	return nbd_send(c->fd, export, zeroes ? sizeof(export) : 10);
}

static bool answer(struct nbd_client *c, bool zeroes, struct dev *const *devs, size_t nr)
{
	uint8_t head[16], data[OPTION_LENGTH_MAX];
	uint32_t option, len;

	if (!nbd_receive(c->fd, head, sizeof(head)) || memcmp(head, "IHAVEOPT", 8) != 0)
		return false;
	option = num_get_be32(head + 8);
	len = num_get_be32(head + 12);
	if (len > sizeof(data) || !nbd_receive(c->fd, data, len))
		return false;
	switch (option) {
	case OPT_EXPORT_NAME:
		return choose(c, data, len, zeroes, devs, nr);
	case OPT_INFO:
	case OPT_GO:
		return inform(c, option, data, len, devs, nr);
	case OPT_ABORT:
		return reply(c->fd, option, REP_ACK, NULL, 0) && false;
	default:
		return reply(c->fd, option, REP_ERR_UNSUP, NULL, 0);
	}
}

bool nbd_handshake(struct nbd_client *c, struct dev *const *devs, size_t nr)
{
	static const uint8_t hello[18] = {'N', 'B', 'D', 'M', 'A', 'G', 'I', 'C', 'I', 'H', 'A', 'V',
		'E', 'O', 'P', 'T', 0, FIXED_NEWSTYLE | NO_ZEROES};
	uint8_t flags[4];

	if (!nbd_send(c->fd, hello, sizeof(hello)) || !nbd_receive(c->fd, flags, sizeof(flags)) ||
		!(flags[3] & FIXED_NEWSTYLE))
		return false;
	for (int i = 0; i < OPTIONS_MAX && !c->dev; i++)
		if (!answer(c, !(flags[3] & NO_ZEROES), devs, nr))
			return false;
	return c->dev != NULL;
}
