/* SPDX-License-Identifier: Apache-2.0 */
/* How large an expression becomes, before regcomp() makes it so. */
#ifndef AMIWRIGHT_BUILDER_BOOT_REGEX_H
#define AMIWRIGHT_BUILDER_BOOT_REGEX_H

#include <stdint.h>

/*
 * About how many nodes a POSIX extended expression has once its repetitions {m,n} are written out, as
 * regcomp() does: nested ones multiply, and nothing but memory ends that. No more than
 * BOOT_REGEX_MAX + 1 is told. What is no expression gets some number; regcomp() refuses it.
 */
uint64_t boot_regex_size(const char *expression);

/* The worst of 32768 nodes, (a{1,180}){1,180}, costs regcomp() 60 MB and 0.05 s. */
enum { BOOT_REGEX_MAX = 32768 };

#endif
