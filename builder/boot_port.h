/* SPDX-License-Identifier: Apache-2.0 */
/* The port of 127.0.0.1 that goes to the guest's ssh: kept from others until QEMU has it. */
#ifndef AMIWRIGHT_BUILDER_BOOT_PORT_H
#define AMIWRIGHT_BUILDER_BOOT_PORT_H

#include "base/error.h"

#include <stdint.h>

/*
 * text: a number; "0" takes a free port. *fd is the caller's to close: while it is open nobody gets
 * the port but a program that shares it on purpose, as QEMU does (SO_REUSEADDR). ERROR_USAGE for
 * what is no port, ERROR_IO for one that cannot be had.
 */
int boot_port_hold(const char *text, uint16_t *port, int *fd, struct error *err) MUST_CHECK;

#endif
