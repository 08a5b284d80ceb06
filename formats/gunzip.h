/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip files of any making (RFC 1952: one member or many, of any length), decompressed as their bytes
 * come. Memory is constant.
 */
#ifndef AMIWRIGHT_FORMATS_GUNZIP_H
#define AMIWRIGHT_FORMATS_GUNZIP_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct gunzip;
/* Gets the content piece by piece (at most 256 KiB); a failure ends it all. */
typedef int (*gunzip_sink_fn)(void *arg, const void *data, size_t len, struct error *err);

struct gunzip *gunzip_new(gunzip_sink_fn sink, void *arg, struct error *err) MUST_CHECK;
/* Members of zeros that are like one before go there as their length alone; they are not decompressed. */
typedef int (*gunzip_zeros_fn)(void *arg, uint64_t len, struct error *err);
void gunzip_take_zeros(struct gunzip *g, gunzip_zeros_fn zeros);
void gunzip_free(struct gunzip *g);
DEFINE_CLEANUP(gunzip, struct gunzip, gunzip_free)

/* The next bytes of the file. ERROR_INPUT when they are damaged, a wrong CRC or length included. */
int gunzip_push(struct gunzip *g, const void *data, size_t len, struct error *err) MUST_CHECK;
/*
 * The file has ended. ERROR_INPUT when it ended inside a member. Zeros behind the last member
 * (padding of a tape's block) are no damage, anything else is.
 */
int gunzip_end(struct gunzip *g, struct error *err) MUST_CHECK;

#endif
