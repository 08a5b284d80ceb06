/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices for another program on this machine (qemu), which reads them over a Unix socket with the
 * NBD protocol: without a copy, and whatever format they come from. Writing is refused. Export "0" is
 * the first device, "1" the second …,
 * filled up to whole sectors with zeros.
 *
 * One thread serves all connections, a request at a time: a device has one reader. While the server
 * runs, nobody else may use the devices.
 *
 * Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md (fixed newstyle
 * handshake, simple replies).
 */
#ifndef AMIWRIGHT_BASE_NBD_SERVER_H
#define AMIWRIGHT_BASE_NBD_SERVER_H

#include "base/dev.h"

struct nbd_server;

/*
 * Listens at path, a new socket (107 bytes at most; 0600; its folder should be the user's alone).
 * devs, the array too, are borrowed until nbd_server_stop(). ERROR_IO.
 */
struct nbd_server *nbd_server_start(struct dev *const *devs, size_t nr, const char *path,
	struct error *err) MUST_CHECK;
/*
 * Ends connections and thread, removes the socket, frees. The error of the first read that failed:
 * clients were told that there was one, not why. NULL is fine.
 */
int nbd_server_stop(struct nbd_server *s, struct error *err);

#endif
