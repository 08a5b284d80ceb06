/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing EFI binaries of a tree in place. The room for a signature is made first, as its length is
 * a matter of key and certificate; the signature itself may come much later, when the content is
 * final.
 *
 * WIN_CERTIFICATE (UEFI 2.10, 32.2.4): length with this header, revision 0x0200, type 0x0002
 * (PKCS #7), the DER, zeros up to 8 bytes.
 */
#include "builder/loader_efi.h"

#include <string.h>

#include "base/num.h"

enum { TABLE_MAX = 1 << 20, REVISION_2 = 0x0200, TYPE_PKCS7 = 0x0002 };

static int make_certificate(const struct crypto_signer *signer, const uint8_t digest[SHA256_SIZE],
	struct buf *out, struct error *err)
{
	static const uint8_t zeros[PE_CERT_ALIGN];
	uint8_t header[PE_CERT_HEADER];

	if (buf_add(out, zeros, sizeof(header), err) < 0 ||
		crypto_sign_authenticode(signer, digest, out, err) < 0 ||
		buf_add(out, zeros, num_align(out->len, PE_CERT_ALIGN) - out->len, err) < 0)
		return -1;
	num_put_le32(header, (uint32_t)out->len);
	num_put_le16(header + 4, REVISION_2);
	num_put_le16(header + 6, TYPE_PKCS7);
	memcpy(out->data, header, sizeof(header));
	return 0;
}

int loader_efi_signer_open(struct loader_efi_signer *s, const struct loader_in *in, struct error *err)
{
	CLEANUP_BUF struct buf sample = BUF_INIT(TABLE_MAX);
	const uint8_t digest[SHA256_SIZE] = {0};

	*s = (struct loader_efi_signer){NULL, 0};
	if (!in->sign_key && !in->sign_certificate)
		return 0;
	if (!in->sign_key || !in->sign_certificate)
		return error_set(err, ERROR_INPUT, 0, "signing needs both a key and its certificate");
	s->signer = crypto_signer_new(in->sign_key, in->sign_certificate, err);
	if (!s->signer || make_certificate(s->signer, digest, &sample, err) < 0)
		return -1;
	s->len = sample.len;
	return 0;
}

void loader_efi_signer_close(struct loader_efi_signer *s)
{
	crypto_signer_free(s->signer);
	s->signer = NULL;
}

int loader_efi_reserve(const struct loader_efi_signer *s, struct loader_efi_image *img,
	struct pe *pe, struct error *err)
{
	uint64_t from = pe->cert_len ? pe->cert_off : num_align(img->size, PE_CERT_ALIGN);

	if (!s->signer)
		return 0;
	img->size = num_align(img->size, PE_CERT_ALIGN);
	return pe_set_certificates(pe, from, img->size + s->len - from, err);
}

int loader_efi_add_room(
	const struct loader_efi_signer *s, struct loader_efi_image *img, struct error *err)
{
	CLEANUP_FREE uint8_t *zeros = NULL;

	if (!s->signer)
		return 0;
	zeros = calloc(1, s->len);
	if (!zeros)
		return error_nomem(err, "a signature");
	return loader_efi_add_bytes(img, img->size, zeros, s->len, err);
}

static int sign_open_file(const struct loader_efi_signer *s, struct tree *t,
	const struct loader_efi_file *f, struct pe *pe, struct error *err)
{
	CLEANUP_BUF struct buf certificate = BUF_INIT(TABLE_MAX);
	uint8_t digest[SHA256_SIZE];

	if (pe_read(pe, &f->input, err) < 0 || pe_digest(pe, &f->input, digest, err) < 0 ||
		make_certificate(s->signer, digest, &certificate, err) < 0)
		return -1;
	if (certificate.len != s->len || pe->cert_len < s->len)
		return error_set(err, ERROR_BUG, 0, "'%s' has no room for its signature", f->path);
	return loader_efi_overwrite(t, f->path, (uint64_t)pe->cert_off + pe->cert_len - s->len,
		certificate.data, certificate.len, err);
}

int loader_efi_sign(
	const struct loader_efi_signer *s, struct tree *t, const char *path, struct error *err)
{
	struct pe pe = {.machine = 0};
	struct loader_efi_file f;
	int r;

	if (!s->signer)
		return 0;
	r = loader_efi_open(&f, t, path, err);
	if (!r)
		r = sign_open_file(s, t, &f, &pe, err);
	pe_release(&pe);
	loader_efi_close(&f);
	return r;
}

/* As it is, or with headers of our own and room for a signature behind it. */
static int compose(const struct loader_efi_signer *s, const struct loader_in *in,
	const struct loader_efi_file *f, struct pe *pe, struct loader_efi_image *img,
	struct error *err)
{
	if (!s->signer)
		return loader_efi_add_file(img, 0, f, 0, f->input.size, err);
	if (loader_efi_read(pe, in, f, err) < 0)
		return -1;
	if (pe->cert_len && (uint64_t)pe->cert_off + pe->cert_len != f->input.size)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' cannot be signed: something follows the signatures that it has", f->path);
	img->size = f->input.size;
	if (loader_efi_reserve(s, img, pe, err) < 0 ||
		loader_efi_add_bytes(img, 0, pe->headers, pe->headers_len, err) < 0)
		return -1;
	if (loader_efi_add_file(img, pe->headers_len, f, pe->headers_len,
		    f->input.size - pe->headers_len, err) < 0)
		return -1;
	return loader_efi_add_room(s, img, err);
}

int loader_efi_copy(const struct loader_efi_signer *s, const struct loader_in *in,
	const struct loader_efi_file *f, struct tree *t, const char *const *paths, struct error *err)
{
	struct loader_efi_image img = {.tree = t};
	struct pe pe = {.machine = 0};
	int r = compose(s, in, f, &pe, &img, err);

	for (size_t i = 0; !r && paths[i]; i++)
		r = loader_efi_store(&img, paths[i], in->epoch, err);
	/* All of them share their bytes. */
	if (!r)
		r = loader_efi_sign(s, t, paths[0], err);
	loader_efi_image_release(&img);
	pe_release(&pe);
	return r;
}
