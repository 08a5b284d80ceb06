/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of the NBD server: its handshake and its requests. */
#ifndef AMIWRIGHT_BASE_NBD_INTERNAL_H
#define AMIWRIGHT_BASE_NBD_INTERNAL_H

#include "base/dev.h"

#include <stdbool.h>

/* What a client may ask for at once; qemu's own limit. */
enum { NBD_LENGTH_MAX = 32 << 20 };

struct nbd_client {
	int fd;
	struct dev *dev; /* the export that it chose */
};

/*
 * The size of the export: whole sectors, as kernels have them (qemu-img 7.2 waits for ever when there is a
 * part of one). What is behind the device's end reads as zeros.
 */
uint64_t nbd_size(const struct dev *dev);

/* The whole of a message, or false when the client is gone, stalls or a signal is pending. */
bool nbd_receive(int fd, void *data, size_t len);
bool nbd_send(int fd, const void *data, size_t len);

/* Lets the client choose one of the devices; false: it is to be closed. */
bool nbd_handshake(struct nbd_client *c, struct dev *const *devs, size_t nr);
/*
 * One request. false: the client is to be closed. The first error of reading goes into failed, when
 * nothing is there yet.
 */
bool nbd_serve(struct nbd_client *c, struct error *failed);

#endif
