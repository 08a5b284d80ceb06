/* SPDX-License-Identifier: Apache-2.0 */
/* The names of AWS's Regions, by partition (botocore 1.43's endpoints data). */
#ifndef AMIWRIGHT_UPLOADER_REGION_NAMES_H
#define AMIWRIGHT_UPLOADER_REGION_NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum { REGION_NAME_SIZE = 32 };

/* Whether it is the name of a Region, in any partition. */
bool region_name_known(const char *name);
/* "aws", "aws-cn", "aws-us-gov" … of a known name; "aws" otherwise. */
const char *region_name_partition(const char *name);
/* The i-th known name, or NULL after the last. */
const char *region_name_at(size_t i);
/* Whether an account has to opt in before it can use that Region. */
bool region_name_opt_in(const char *name);

#endif
