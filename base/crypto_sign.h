/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of EFI binaries (Authenticode), without any time in them: the same key, certificate and
 * digest give the same bytes, which programs that write the time of signing do not.
 *
 * Sources: RFC 2315 (PKCS #7 SignedData), Microsoft's "Windows Authenticode Portable Executable
 * Signature Format", UEFI 2.10 section 32.2 (RSA of 2048 bits or more with SHA-256).
 */
#ifndef AMIWRIGHT_BASE_CRYPTO_SIGN_H
#define AMIWRIGHT_BASE_CRYPTO_SIGN_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"

struct crypto_signer;

/*
 * Reads an RSA key and its certificate, both PEM. ERROR_INPUT naming the file when it is missing,
 * is no PEM, is encrypted (nobody is asked for a passphrase), has a key that firmware does not
 * take, or when the two do not fit. The key stays in this object and goes nowhere else.
 */
struct crypto_signer *crypto_signer_new(const char *key_path, const char *certificate_path,
	struct error *err) MUST_CHECK;
/*
 * The same without keeping anything. Either may be NULL: then the other is checked by itself, so that
 * a mistake can be laid to one of them.
 */
int crypto_signer_check(const char *key_path, const char *certificate_path, struct error *err)
	MUST_CHECK;
void crypto_signer_free(struct crypto_signer *s);
DEFINE_CLEANUP(crypto_signer, struct crypto_signer, crypto_signer_free)

/*
 * Appends the DER of a PKCS #7 ContentInfo that signs a PE image's digest. Its length depends on
 * key and certificate alone.
 */
int crypto_sign_authenticode(const struct crypto_signer *s, const uint8_t digest[SHA256_SIZE],
	struct buf *out, struct error *err) MUST_CHECK;

#endif
