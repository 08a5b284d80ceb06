/* SPDX-License-Identifier: Apache-2.0 */
/* Private keys and certificates that commands take, with what people are to be told of them. */
#ifndef AMIWRIGHT_BUILDER_COMMAND_KEY_H
#define AMIWRIGHT_BUILDER_COMMAND_KEY_H

#include "base/crypto_rsa.h"

/*
 * An RSA private key. The passphrase of an encrypted one is the first line of pass_file, or with
 * NULL asked on the terminal; ERROR_USAGE when there is none. The process dumps no core from then on.
 */
struct crypto_rsa_key *command_key_open(const char *path, const char *pass_file, struct error *err)
	MUST_CHECK;
/*
 * A passphrase: the first line of a file, NUL-terminated into out, and kept out of the log from now on.
 * ERROR_INPUT when it does not fit.
 */
int command_key_passphrase(const char *file, char *out, size_t size, struct error *err) MUST_CHECK;
/* Dates in the past or the future are noted in the log and no error: the formats ignore them. */
struct crypto_certificate *command_key_certificate(const char *path, struct error *err) MUST_CHECK;
/* The same for one of EC2's: the log says which it is, or that it is not known. */
struct crypto_certificate *command_key_ec2(const char *path, struct error *err) MUST_CHECK;

#endif
