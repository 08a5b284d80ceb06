/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line and the environment of mmdebstrap. The environment is made anew from what is
 * needed, so that the packages' scripts do not see the user's language, time zone or anything else.
 */
#include "fs/tree_debian_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/num.h"

/* Of one argument the kernel takes 128 KiB. */
enum { EARLY_FILE_MAX = 64 << 10 };

static int add_string(struct debian_strings *s, char *text, struct error *err)
{
	if (!text)
		return -1;
	if (ARRAY_GROW(s->items, s->nr + 2, s->alloc, "arguments of mmdebstrap", err) < 0) {
		free(text);
		return -1;
	}
	s->items[s->nr++] = text;
	s->items[s->nr] = NULL;
	return 0;
}

void debian_strings_release(struct debian_strings *s)
{
	for (size_t i = 0; i < s->nr; i++)
		free(s->items[i]);
	free(s->items);
}

/* Names of suites, packages and the like: one word that cannot be taken for an option or a list. */
static int check_word(const char *what, const char *word, struct error *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._:/=~*?!";

	if (*word && *word != '-' && strspn(word, allowed) == strlen(word))
		return 0;
	return error_set(err, ERROR_USAGE, 0, "'%s' is no name of a %s", word, what);
}

/* "--option=a,b,c", or nothing for an empty list. */
static int add_list(struct debian_strings *argv, const char *option, const char *what,
	const char *const *words, struct error *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);

	for (size_t i = 0; words && words[i]; i++) {
		if (check_word(what, words[i], err) < 0)
			return -1;
		if (buf_addf(&text, err, "%s%s", i > 0 ? "," : option, words[i]) < 0)
			return -1;
	}
	return text.len > 0 ? add_string(argv, buf_steal(&text, err), err) : 0;
}

static int check_stamp(const char *stamp, struct error *err)
{
	static const char form[] = "00000000T000000Z";
	size_t i = 0;

	for (; form[i] && stamp[i]; i++)
		if (form[i] == '0' ? stamp[i] < '0' || stamp[i] > '9' : stamp[i] != form[i])
			break;
	if (!form[i] && !stamp[i])
		return 0;
	return error_set(err, ERROR_USAGE, 0, "snapshot '%s' is no time like '20260101T000000Z'", stamp);
}

/* unstable and experimental have neither updates nor security uploads of their own. */
static bool is_rolling(const char *suite)
{
	return strcmp(suite, "sid") == 0 || strcmp(suite, "unstable") == 0 ||
		strcmp(suite, "experimental") == 0;
}

/*
 * The same three sources that mmdebstrap takes by itself, as they were then. The signatures of that
 * time have expired, which is what "Valid-Until" would say.
 */
static int add_snapshot(struct debian_strings *argv, const struct tree_debian_opts *opts,
	struct error *err)
{
	static const struct {
		const char *archive, *suffix;
	} sources[] = {{"debian", ""}, {"debian", "-updates"}, {"debian-security", "-security"}};
	static const char *const only_main[] = {"main", NULL};
	const char *const *components = opts->components ? opts->components : only_main;
	size_t nr = is_rolling(opts->suite) ? 1 : ARRAY_SIZE(sources);

	if (check_stamp(opts->snapshot, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		CLEANUP_BUF struct buf line = BUF_INIT(4096);

		if (buf_addf(&line, err,
			"deb [check-valid-until=no] https://snapshot.debian.org/archive/%s/%s/ %s%s",
			sources[i].archive, opts->snapshot, opts->suite, sources[i].suffix) < 0)
			return -1;
		for (size_t c = 0; components[c]; c++)
			if (buf_addf(&line, err, " %s", components[c]) < 0)
				return -1;
		if (add_string(argv, buf_steal(&line, err), err) < 0)
			return -1;
	}
	return 0;
}

static int add_sources(struct debian_strings *argv, const struct tree_debian_opts *opts,
	struct error *err)
{
	if (opts->snapshot && opts->mirrors)
		return error_set(err, ERROR_USAGE, 0,
			"either mirrors or a snapshot can be given, not both");
	if (opts->snapshot)
		return add_snapshot(argv, opts, err);
	for (size_t i = 0; opts->mirrors && opts->mirrors[i]; i++) {
		/* mmdebstrap would read "-" from its standard input, and other words as files. */
		if (!strchr(opts->mirrors[i], ':') || opts->mirrors[i][0] == '-')
			return error_set(err, ERROR_USAGE, 0,
				"mirror '%s' is neither a URI nor a line of sources.list",
				opts->mirrors[i]);
		if (add_string(argv, buf_strf(err, "%s", opts->mirrors[i]), err) < 0)
			return -1;
	}
	return 0;
}

/*
 * A file is written inside the root, by its own shell, as a link there could lead out of it; the
 * content is base64, which no shell reads anything into.
 */
static int add_file(struct debian_strings *argv, const struct tree_debian_file *f, struct error *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+@:~-";
	CLEANUP_BUF struct buf hook = BUF_INIT(4 * EARLY_FILE_MAX);

	if (*f->path != '/' || strspn(f->path, allowed) != strlen(f->path) ||
		f->path[strlen(f->path) - 1] == '/')
		return error_set(err, ERROR_USAGE, 0,
			"'%s' cannot be put there before the packages: write an absolute path of "
			"letters, digits and /._+@:~-", f->path);
	if (f->len > EARLY_FILE_MAX)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' has %zu bytes; a file that is there before the packages has at most "
			"%d", f->path, f->len, EARLY_FILE_MAX);
	if (buf_add_str(&hook, "--essential-hook=printf %s '", err) < 0 ||
		base64_encode(&hook, f->content, f->len, err) < 0)
		return -1;
	if (buf_addf(&hook, err, "' | chroot \"$1\" sh -c 'umask 022; mkdir -p \"${0%%/*}/\" && "
		"base64 -d >\"$0\"' %s", f->path) < 0)
		return -1;
	return add_string(argv, buf_steal(&hook, err), err);
}

static int add_files(struct debian_strings *argv, const struct tree_debian_opts *opts,
	struct error *err)
{
	for (size_t i = 0; i < opts->nr_files; i++)
		if (add_file(argv, &opts->files[i], err) < 0)
			return -1;
	return 0;
}

int debian_arguments(const struct tree_debian_opts *opts, struct debian_strings *argv,
	struct error *err)
{
	const char *const one_arch[] = {opts->architecture, NULL};
	const char *const variant[] = {opts->variant ? opts->variant : "minbase", NULL};

	if (check_word("suite", opts->suite, err) < 0 ||
		add_string(argv, buf_strf(err, "%s", opts->program ? opts->program : "mmdebstrap"), err) < 0 ||
		add_string(argv, buf_strf(err, "--mode=auto"), err) < 0 ||
		add_string(argv, buf_strf(err, "--format=tar"), err) < 0 ||
		add_list(argv, "--variant=", "variant", variant, err) < 0 ||
		add_list(argv, "--components=", "component", opts->components, err) < 0 ||
		add_list(argv, "--architectures=", "architecture", one_arch, err) < 0 ||
		add_list(argv, "--include=", "package", opts->packages, err) < 0 ||
		add_files(argv, opts, err) < 0)
		return -1;
	if (opts->keyring && add_string(argv, buf_strf(err, "--keyring=%s", opts->keyring), err) < 0)
		return -1;
	if (add_string(argv, buf_strf(err, "%s", opts->suite), err) < 0 ||
		add_string(argv, buf_strf(err, "-"), err) < 0)
		return -1;
	return add_sources(argv, opts, err);
}

/* What a download needs of the user's environment. */
static const char *const passed[] = {"HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy",
	"all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"};

static bool is_passed(const char *variable)
{
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++) {
		size_t len = strlen(passed[i]);

		if (strncmp(variable, passed[i], len) == 0 && variable[len] == '=')
			return true;
	}
	return false;
}

int debian_environment(const struct tree_debian_opts *opts, struct debian_strings *envp,
	struct error *err)
{
	const char *const *from = opts->environment;
	const char *path = "/usr/local/bin:/usr/bin:/bin";

	for (size_t i = 0; from[i]; i++) {
		if (strncmp(from[i], "PATH=", 5) == 0)
			path = from[i] + 5;
		if (is_passed(from[i]) && add_string(envp, buf_strf(err, "%s", from[i]), err) < 0)
			return -1;
	}
	/* An ordinary user's PATH often lacks the folders with chroot and the like. */
	if (add_string(envp, buf_strf(err, "PATH=%s:/usr/sbin:/sbin", path), err) < 0 ||
		add_string(envp, buf_strf(err, "LC_ALL=C"), err) < 0 ||
		add_string(envp, buf_strf(err, "TZ=UTC"), err) < 0)
		return -1;
	return add_string(envp, buf_strf(err, "SOURCE_DATE_EPOCH=%lld", (long long)opts->epoch), err);
}
