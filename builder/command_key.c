/* SPDX-License-Identifier: Apache-2.0 */
/* Keys by path; the passphrase comes from a file or from the terminal, without echo. */
#include "builder/command_key.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/crypto_cipher.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "builder/context.h"

enum { POLL_MS = 200, PASS_FILE_MAX = 64 << 10, OTHERS = 0007 };

/* EC2's certificates by the SHA-1 of their DER form; they were made long ago and have not changed. */
static const struct {
	const char *sha1, *what;
} ec2_certificates[] = {
	{"d327baa0f8d3ee9cbb3cfbfe3b5265a840535d0d", "of all standard regions"},
	{"89d9375a6fd090de28e163786dee5e7e196daab8", "of us-gov-west-1"},
	{"1c936912a31842a572dde3e0b63bce66df77202f", "of cn-north-1"},
};

static int from_file(const char *file, char *out, size_t size, struct error *err)
{
	struct buf text = BUF_INIT(PASS_FILE_MAX);
	size_t len = 0;
	int ret = file_read(file, &text, err);

	if (!ret) {
		len = strcspn(buf_str(&text), "\r\n");
		if (!len || len >= size)
			ret = error_set(err, ERROR_INPUT, 0,
				"the first line of '%s' is no passphrase: it is %s", file,
				len ? "too long" : "empty");
	}
	if (!ret) {
		memcpy(out, buf_str(&text), len);
		out[len] = '\0';
	}
	if (text.data)
		crypto_wipe(text.data, text.size);
	buf_release(&text);
	return ret;
}

static int read_line(int fd, char *out, size_t size, struct error *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		if (context_check(err) < 0)
			return -1;
		if (poll(&p, 1, POLL_MS) <= 0)
			continue;
		n = read(fd, out, size - 1);
		if (n >= 0 || errno != EINTR)
			break;
	}
	if (n < 0)
		return error_set(err, ERROR_IO, errno, "cannot read from the terminal");
	out[n] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return 0;
}

static int ask_on(int fd, const char *path, char *out, size_t size, struct error *err)
{
	CLEANUP_FREE char *prompt = buf_strf(err, "Passphrase of '%s': ", path);
	struct termios before, quiet;
	int ret;

	if (!prompt)
		return -1;
	if (tcgetattr(fd, &before) < 0)
		return error_set(err, ERROR_IO, errno, "cannot hide what is typed on the terminal");
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(fd, TCSAFLUSH, &quiet) < 0)
		return error_set(err, ERROR_IO, errno, "cannot hide what is typed on the terminal");
	ret = file_write_all(fd, prompt, strlen(prompt), "the terminal", err);
	if (!ret)
		ret = read_line(fd, out, size, err);
	tcsetattr(fd, TCSAFLUSH, &before);
	/* The end of line that was not echoed. */
	if (file_write_all(fd, "\n", 1, "the terminal", NULL) < 0)
		return ret;
	return ret;
}

static int from_terminal(const char *path, char *out, size_t size, struct error *err)
{
	CLEANUP_CLOSE int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return error_set(err, ERROR_USAGE, 0,
			"the key '%s' is encrypted, and there is no terminal to ask for its passphrase on: "
			"give it in a file with --key-pass-file", path);
	return ask_on(fd, path, out, size, err);
}

int command_key_passphrase(const char *file, char *out, size_t size, struct error *err)
{
	return from_file(file, out, size, err) < 0 ? -1 : log_redact(out, err);
}

static int give_passphrase(void *arg, const char *path, char *out, size_t size, struct error *err)
{
	const char *file = arg;

	if ((file ? from_file(file, out, size, err) : from_terminal(path, out, size, err)) < 0)
		return -1;
	return log_redact(out, err);
}

/* Not refused: what guards a folder need not show in the mode of a file. */
static void look_at_mode(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & OTHERS))
		log_warn("everybody on this machine may read the private key '%s' (mode %04o): 'chmod 600' "
			 "keeps it yours", path, (unsigned)(st.st_mode & 07777));
}

/*
 * The memory of a crash would hold key and passphrase. With 0 a program that cores are led to (core_pattern) gets
 * them nevertheless; the kernel takes 1 as what is never dumped (core(5)).
 */
static void dump_no_core(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0 || limit.rlim_max < 1)
		return;
	limit.rlim_cur = 1;
	(void)!setrlimit(RLIMIT_CORE, &limit);
}

struct crypto_rsa_key *command_key_open(const char *path, const char *pass_file, struct error *err)
{
	struct crypto_rsa_key *k;

	dump_no_core();
	k = crypto_rsa_key_open(path, give_passphrase, (void *)(uintptr_t)pass_file, err);
	if (k)
		look_at_mode(path);
	return k;
}

struct crypto_certificate *command_key_certificate(const char *path, struct error *err)
{
	struct crypto_certificate *c = crypto_certificate_open(path, err);
	const struct crypto_certificate_info *info = c ? crypto_certificate_info(c) : NULL;
	int64_t now = context_wall_s();
	char time[NUM_TIME_TEXT];

	if (info && now > info->not_after)
		log_info("note: the certificate '%s' has expired (%s); bundles do not mind", path,
			num_format_time(time, info->not_after));
	if (info && now < info->not_before)
		log_info("note: the certificate '%s' is not valid before %s; bundles do not mind", path,
			num_format_time(time, info->not_before));
	return c;
}

struct crypto_certificate *command_key_ec2(const char *path, struct error *err)
{
	struct crypto_certificate *c = crypto_certificate_open(path, err);
	char hex[SHA1_HEX_SIZE];

	if (!c)
		return NULL;
	hex_encode(hex, crypto_certificate_info(c)->sha1, SHA1_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(ec2_certificates); i++) {
		if (strcmp(hex, ec2_certificates[i].sha1))
			continue;
		log_info("'%s' is EC2's certificate %s", path, ec2_certificates[i].what);
		return c;
	}
	log_info("note: '%s' (SHA-1 %s) is none of the certificates of EC2 that are known here; whoever "
		 "has its key can read the bundle", path, hex);
	return c;
}
