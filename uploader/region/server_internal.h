/* SPDX-License-Identifier: Apache-2.0 */
/* Inside server*.c: what requests (server.c) need of sockets and of libmicrohttpd's answers. */
#ifndef AMIWRIGHT_UPLOADER_REGION_SERVER_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_SERVER_INTERNAL_H

#include "uploader/region/region_internal.h"

#include <microhttpd.h>

/*
 * Gives a reply to libmicrohttpd, with r's time as its Date. Takes the body or the file of the reply;
 * MHD_NO, which ends the connection, when memory is short.
 */
enum MHD_Result server_reply(const struct region *r, struct MHD_Connection *connection,
	struct reply *reply);

/*
 * A socket that listens at address, an IPv4 address (else ERROR_USAGE); the caller closes it. *port:
 * 0 for any that is free; gets the one that it is.
 */
int server_listen(const char *address, uint16_t *port, struct error *err) MUST_CHECK;
/*
 * How many connections to take: half of the files that we may open, so that requests find some for
 * what they read and write.
 */
unsigned server_connection_limit(void);

#endif
