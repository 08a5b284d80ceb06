/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials from a program (credential_process). The command line is split as a shell would,
 * quotes and backslashes included, and run without one. Source: AWS SDKs and Tools Reference Guide,
 * "Process credential provider".
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/num.h"
#include "base/program.h"
#include "uploader/creds_internal.h"

enum { MAX_WORDS = 64, MAX_OUTPUT = 256 * 1024 };

struct process {
	char *profile;
	char *words[MAX_WORDS + 1]; /* NULL at the end; wiped: arguments may be secrets */
};

static void process_free(void *state)
{
	struct process *p = state;

	for (size_t i = 0; p->words[i]; i++)
		creds_wipe_text(p->words[i]);
	free(p->profile);
	free(p);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word from *text on, which is moved behind it. */
static char *next_word(const char **text, struct error *err)
{
	CLEANUP_SECRET_BUF struct buf word = BUF_INIT(0);
	const char *p = *text;
	char quote = '\0';

	for (; *p && (quote || !is_space(*p)); p++) {
		if (quote == *p) {
			quote = '\0';
			continue;
		}
		if (!quote && (*p == '"' || *p == '\'')) {
			quote = *p;
			continue;
		}
		/* Between double quotes a backslash stands for itself before other characters. */
		if (*p == '\\' && quote != '\'' && p[1] &&
		    (!quote || p[1] == '"' || p[1] == '\\'))
			p++;
		if (buf_add_char(&word, *p, err) < 0)
			return NULL;
	}
	if (quote)
		return error_null(err, ERROR_USAGE, 0, "a quote is not closed");
	*text = p;
	return buf_steal(&word, err);
}

static int split(struct process *p, const char *command, struct error *err)
{
	size_t nr = 0;

	for (;;) {
		while (is_space(*command))
			command++;
		if (!*command)
			break;
		if (nr == MAX_WORDS)
			return error_set(err, ERROR_USAGE, 0, "over %d words", MAX_WORDS);
		p->words[nr] = next_word(&command, err);
		if (!p->words[nr++])
			return -1;
	}
	return nr > 0 ? 0 : error_set(err, ERROR_USAGE, 0, "no program is named");
}

static int read_output(const struct process *p, const struct buf *output, struct aws_creds *out,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = NULL;

	/* What the parser says could quote a secret. */
	j = json_parse(buf_str(output), output->len, "output", NULL);
	if (!json_is_object(j))
		return error_set(err, ERROR_INPUT, 0, "%s did not print a JSON object", p->words[0]);
	if (json_get_int(j, "Version", 0) != 1)
		return error_set(err, ERROR_INPUT, 0,
			"%s printed credentials whose Version is not 1", p->words[0]);
	return creds_from_json(j, "SessionToken", p->words[0], out, err);
}

static int fetch_process(void *state, const struct creds_world *w, struct aws_creds *out,
	struct error *err)
{
	CLEANUP_SECRET_BUF struct buf output = BUF_INIT(MAX_OUTPUT);
	const struct process *p = state;
	const struct program_opts opts = {
		.argv = (const char *const *)p->words,
		.inherit = true,
		.output = &output,
		.clean = creds_hide,
		.cancelled = creds_cancelled,
	};
	int ret;

	(void)w;
	out->origin = buf_strf(err, "credential_process of profile '%s'", p->profile);
	if (!out->origin)
		return -1;
	ret = program_run(&opts, err);
	if (ret == 0)
		ret = read_output(p, &output, out, err);
	if (ret < 0 && err->kind != ERROR_INTERRUPTED)
		error_wrap(err, "credential_process of profile '%s'", p->profile);
	return ret;
}

struct aws_provider *creds_process_new(struct creds_world *w, const char *command,
	const char *profile, struct error *err)
{
	static const struct creds_kind kind = {.fetch = fetch_process, .free = process_free};
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for credentials");
	p->profile = buf_strf(err, "%s", profile);
	if (p->profile && split(p, command, err) == 0)
		return aws_provider_make(w, &kind, p, err);
	error_wrap(err, "credential_process of profile '%s'", profile);
	process_free(p);
	return NULL;
}
