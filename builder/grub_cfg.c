/* SPDX-License-Identifier: Apache-2.0 */
/* Writing GRUB's configuration; the rules are in the header. */
#include "builder/grub_cfg.h"

#include <string.h>

#include "base/num.h"

/* A serial port of the kernel's command line: "console=ttyS0,115200n8". */
struct serial {
	unsigned unit;
	uint64_t speed;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* The length of the word at p: double quotes keep spaces in it. *open: a quote that nothing ends. */
static size_t word_len(const char *p, bool *open)
{
	size_t n = 0;

	*open = false;
	for (; p[n] && (*open || !is_space(p[n])); n++)
		if (p[n] == '"')
			*open = !*open;
	return n;
}

int grub_cfg_check(const char *cmdline, struct error *err)
{
	for (const char *p = cmdline; *p;) {
		bool open;
		size_t len;

		p += strspn(p, " \t");
		len = word_len(p, &open);
		if (open)
			return error_set(err, ERROR_USAGE, 0,
				"a quote in the command line is not ended: '%s'", p);
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)p[i] < ' ' || strchr("\\'\177", p[i]))
				return error_set(err, ERROR_USAGE, 0,
					"GRUB cannot hand '%.*s' of the command line to the kernel: "
					"it changes backslashes, single quotes and control characters",
					(int)len, p);
		p += len;
	}
	return 0;
}

/* Characters that mean nothing to GRUB's shell nor to sh. */
static bool plain(const char *p, size_t len)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_-+=.,:/@%\"";

	for (size_t i = 0; i < len; i++)
		if (!memchr(good, p[i], sizeof(good) - 1))
			return false;
	return len > 0;
}

/* One word without its double quotes, in single ones where GRUB needs that. */
static int add_word(struct buf *out, const char *p, size_t len, struct error *err)
{
	bool quote = !plain(p, len);

	if (quote && buf_add_char(out, '\'', err) < 0)
		return -1;
	for (size_t i = 0; i < len; i++)
		if (p[i] != '"' && buf_add_char(out, p[i], err) < 0)
			return -1;
	return quote ? buf_add_char(out, '\'', err) : 0;
}

/* All words of a command line, each with `before` in front. */
static int add_words(struct buf *out, const char *text, const char *before, struct error *err)
{
	for (const char *p = text + strspn(text, " \t"); *p; p += strspn(p, " \t")) {
		bool open;
		size_t len = word_len(p, &open);

		if (buf_add_str(out, before, err) < 0 || add_word(out, p, len, err) < 0)
			return -1;
		before = " ";
		p += len;
	}
	return 0;
}

/* In single quotes, for GRUB's shell and for sh. */
static int add_quoted(struct buf *out, const char *text, struct error *err)
{
	if (buf_add_char(out, '\'', err) < 0)
		return -1;
	for (; *text; text++) {
		if (*text == '\'' ? buf_add_str(out, "'\\''", err) < 0 :
				    buf_add_char(out, (unsigned char)*text < ' ' ? ' ' : *text, err) < 0)
			return -1;
	}
	return buf_add_char(out, '\'', err);
}

/* The last serial port of a PC that the kernel has a console on. */
static bool find_serial(const char *cmdline, struct serial *out)
{
	static const char key[] = "console=ttyS";
	bool found = false, open;

	for (const char *p = cmdline + strspn(cmdline, " \t"); *p; p += strspn(p, " \t")) {
		size_t len = word_len(p, &open);
		const char *q = p + sizeof(key) - 1;

		if (len >= sizeof(key) && memcmp(p, key, sizeof(key) - 1) == 0 && *q >= '0' &&
			*q <= '3' && (len == sizeof(key) || q[1] == ',')) {
			*out = (struct serial){.unit = (unsigned)(*q - '0'), .speed = 0};
			for (q += q[1] == ',' ? 2 : 1; *q >= '0' && *q <= '9' && out->speed < 10000000;
				q++)
				out->speed = out->speed * 10 + (uint64_t)(*q - '0');
			if (out->speed == 0)
				out->speed = 9600; /* the kernel's own when none is given */
			found = true;
		}
		p += len;
	}
	return found;
}

int grub_cfg_path(const struct loader_in *in, const char *path, struct buf *out, struct error *err)
{
	static const char boot[] = "/boot/";

	if (strncmp(path, boot, sizeof(boot) - 1) == 0)
		return buf_addf(out, err, "%s/%s", in->boot_dir, path + sizeof(boot) - 1);
	return buf_add_str(out, path, err);
}

static int add_path(const struct loader_in *in, const char *path, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf inside = BUF_INIT(4 * KIB);

	if (grub_cfg_path(in, path, &inside, err) < 0)
		return -1;
	return plain(buf_str(&inside), inside.len) ? buf_add(out, inside.data, inside.len, err) :
						     add_quoted(out, buf_str(&inside), err);
}

static int add_entry(const struct loader_in *in, const struct kernel *k, struct buf *out,
	struct error *err)
{
	CLEANUP_FREE char *title = buf_strf(err, "%s, Linux %s", in->os_name, k->version);

	if (!title || buf_add_str(out, "\nmenuentry ", err) < 0 ||
		add_quoted(out, title, err) < 0 ||
		buf_addf(out, err,
			" {\n\tsearch --no-floppy --fs-uuid --set=root --hint=$root %s\n\tlinux ",
			in->boot_uuid) < 0 ||
		add_path(in, k->image, out, err) < 0 || add_words(out, in->root, " ", err) < 0 ||
		add_words(out, in->cmdline, " ", err) < 0)
		return -1;
	if (k->initrd && (buf_add_str(out, "\n\tinitrd ", err) < 0 ||
				 add_path(in, k->initrd, out, err) < 0))
		return -1;
	return buf_add_str(out, "\n}\n", err);
}

/*
 * Firmware of UEFI shows its own console on the serial port; on a BIOS machine GRUB must do it.
 * A spec's timeout of 0 boots at once, and the menu then comes only when Escape is held.
 */
int grub_cfg_menu(const struct loader_in *in, struct buf *out, struct error *err)
{
	struct serial serial;

	if (buf_addf(out, err,
		    "# Made by amiwright. Where grub-mkconfig (update-grub) is run, it replaces this\n"
		    "# file and takes its settings from /etc/default.\n"
		    "if [ -s $prefix/grubenv ]; then\n\tload_env\nfi\n"
		    "if [ \"${next_entry}\" ]; then\n\tset default=\"${next_entry}\"\n"
		    "\tset next_entry=\n\tsave_env next_entry\nelse\n\tset default=0\nfi\n"
		    "set timeout_style=%s\nset timeout=%u\n",
		    in->timeout > 0 ? "menu" : "hidden", in->timeout) < 0)
		return -1;
	if (find_serial(in->cmdline, &serial) &&
		buf_addf(out, err,
			"if [ \"$grub_platform\" = pc ]; then\n"
			"\tserial --unit=%u --speed=%llu\n"
			"\tterminal_input console serial\n"
			"\tterminal_output console serial\nfi\n",
			serial.unit, (unsigned long long)serial.speed) < 0)
		return -1;
	for (size_t i = 0; i < in->kernels->nr; i++)
		if (add_entry(in, &in->kernels->items[i], out, err) < 0)
			return -1;
	return 0;
}

int grub_cfg_find(const struct loader_in *in, const char *dir, struct buf *out, struct error *err)
{
	if (buf_addf(out, err, "search.fs_uuid %s root\nset prefix=($root)", in->boot_uuid) < 0 ||
		add_quoted(out, dir, err) < 0)
		return -1;
	return buf_add_char(out, '\n', err);
}

int grub_cfg_esp(const struct loader_in *in, const char *dir, struct buf *out, struct error *err)
{
	if (grub_cfg_find(in, dir, out, err) < 0)
		return -1;
	return buf_add_str(out, "configfile $prefix/grub.cfg\n", err);
}

int grub_cfg_defaults(const struct loader_in *in, struct buf *out, struct error *err)
{
	CLEANUP_BUF struct buf words = BUF_INIT(64 * KIB);
	struct serial serial;

	if (add_words(&words, in->cmdline, "", err) < 0 ||
		buf_add_str(out, "# Made by amiwright: what the image was built with.\nGRUB_CMDLINE_LINUX=",
			err) < 0 ||
		add_quoted(out, buf_str(&words), err) < 0 ||
		buf_addf(out, err,
			"\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\nGRUB_TIMEOUT=%u\n"
			"GRUB_RECORDFAIL_TIMEOUT=%u\n",
			in->timeout, in->timeout) < 0)
		return -1;
	if (!in->bios || !find_serial(in->cmdline, &serial))
		return 0;
	return buf_addf(out, err,
		"GRUB_TERMINAL=\"console serial\"\n"
		"GRUB_SERIAL_COMMAND=\"serial --unit=%u --speed=%llu\"\n",
		serial.unit, (unsigned long long)serial.speed);
}

void grub_cfg_env(char out[GRUB_ENV_SIZE])
{
	static const char head[] =
		"# GRUB Environment Block\n"
		"# WARNING: Do not edit this file by tools other than grub-editenv!!!\n";

	memset(out, '#', GRUB_ENV_SIZE);
	memcpy(out, head, sizeof(head) - 1);
}
