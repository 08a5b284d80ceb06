/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service on a Unix socket, as part of its owner's poll loop: no threads. Requests and
 * the number of connections are bounded; each connection carries one request.
 *
 * QEMU's user network starts a program for each connection of the guest to 169.254.169.254; that
 * program is imds_bridge(), which joins its standard input and output to the socket.
 */
#ifndef AMIWRIGHT_BUILDER_IMDS_SERVER_H
#define AMIWRIGHT_BUILDER_IMDS_SERVER_H

#include "builder/imds.h"

#include <poll.h>

struct imds_server;

enum { IMDS_CONNECTIONS = 32, IMDS_POLLS = 1 + IMDS_CONNECTIONS };

/* Listens at a socket named "imds" in the folder; m is borrowed. */
struct imds_server *imds_server_new(const struct imds *m, const char *folder, struct error *err)
	MUST_CHECK;
void imds_server_free(struct imds_server *s);
DEFINE_CLEANUP(imds_server, struct imds_server, imds_server_free)

/* Fills at most IMDS_POLLS items with what to wait for; returns how many. */
size_t imds_server_polls(struct imds_server *s, struct pollfd *polls);
/* Does what the same items say that can be done; now_ms as for imds_answer(), in milliseconds. */
int imds_server_serve(struct imds_server *s, const struct pollfd *polls, size_t nr,
	uint64_t now_ms, struct error *err) MUST_CHECK;

/* Joins descriptors in and out to the socket in the folder until one of the sides ends. */
int imds_bridge(const char *folder, int in, int out, struct error *err) MUST_CHECK;

#endif
