/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption matrices of AWS's user guides as pure functions: what becomes of a new snapshot,
 * and of the copy of one.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_ENCRYPTION_H
#define AMIWRIGHT_UPLOADER_REGION_ENCRYPTION_H

#include <stdbool.h>

/* StartSnapshot: EBS user guide, "Inherited encryption" and "Encryption outcomes". */
struct start_encryption {
	bool has_parent, parent_encrypted;
	bool has_flag, flag; /* Encrypted */
	bool has_key;        /* KmsKeyArn */
	bool default_on;     /* encryption by default, of the account in the Region */
};
enum start_choice {
	START_PLAIN,
	START_DEFAULT_KEY,
	START_GIVEN_KEY,
	START_PARENT_KEY,
	START_NOT_WITH_PARENT,        /* these are refusals */
	START_KEY_WITHOUT_ENCRYPTION,
	START_DEFAULT_IS_ON,
};
enum start_choice encryption_of_start(const struct start_encryption *e);

/* CopyImage and CopySnapshot: EC2 user guide, "Encryption and copying". */
struct copy_encryption {
	bool of_image;                /* CopyImage keeps the key of an own snapshot */
	bool encrypted, own;          /* the source; own: not shared by another account */
	bool same_region;
	bool has_flag, flag, has_key; /* Encrypted, KmsKeyId */
	bool default_on;              /* in the destination */
};
enum copy_choice {
	COPY_PLAIN,
	COPY_DEFAULT_KEY,
	COPY_GIVEN_KEY,
	COPY_SAME_KEY,
	COPY_KEY_WITHOUT_ENCRYPTION, /* these are refusals */
	COPY_CANNOT_DECRYPT,
};
enum copy_choice encryption_of_copy(const struct copy_encryption *e);

#endif
