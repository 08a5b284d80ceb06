/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and reading of the shared files. */
#include "uploader/creds_shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "uploader/creds_internal.h"

enum { MAX_FILE = 4 * 1024 * 1024 };

const char *aws_env_get(const struct aws_env *env, const char *name)
{
	const char *value = env->get(env->arg, name);

	return value && value[0] ? value : NULL;
}

static char *shared_path(const struct aws_env *env, const char *variable, const char *name,
	struct error *err)
{
	const char *path = aws_env_get(env, variable), *home = aws_env_get(env, "HOME");

	if (path && (path[0] != '~' || path[1] != '/' || !home))
		return buf_strf(err, "%s", path);
	if (path)
		return buf_strf(err, "%s%s", home, path + 1);
	return buf_strf(err, "%s/.aws/%s", home ? home : "", name);
}

/* /dev/null is how people say "none"; a pipe or another device could be waited for for ever. */
static bool is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static int read_optional(const char *path, struct buf *out, struct error *err)
{
	struct error why = ERROR_INIT;
	struct stat st;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !is_null_device(&st))
		return error_set(err, ERROR_USAGE, 0, "'%s' is not a regular file", path);
	if (file_read(path, out, &why) == 0) {
		if (strlen(buf_str(out)) == out->len)
			return 0;
		return error_set(err, ERROR_USAGE, 0, "'%s' is not a text file", path);
	}
	buf_clear(out);
	if (why.errnum == ENOENT || why.errnum == ENOTDIR)
		return 0;
	if (err)
		*err = why;
	return -1;
}

void creds_shared_release(struct creds_shared *s)
{
	buf_wipe(&s->credentials);
	buf_wipe(&s->config);
	free(s->profile);
	free(s->credentials_path);
	free(s->config_path);
	memset(s, 0, sizeof(*s));
}

int creds_shared_load(struct creds_shared *s, const struct aws_env *env, const char *profile,
	struct error *err)
{
	memset(s, 0, sizeof(*s));
	buf_init(&s->credentials, MAX_FILE);
	buf_init(&s->config, MAX_FILE);
	s->explicit = profile && profile[0];
	if (!s->explicit)
		profile = aws_env_get(env, "AWS_PROFILE");
	if (!profile)
		profile = aws_env_get(env, "AWS_DEFAULT_PROFILE");
	s->named = profile != NULL;
	s->profile = buf_strf(err, "%s", profile ? profile : "default");
	if (!s->profile)
		return -1;
	s->credentials_path = shared_path(env, "AWS_SHARED_CREDENTIALS_FILE", "credentials", err);
	if (!s->credentials_path)
		return -1;
	s->config_path = shared_path(env, "AWS_CONFIG_FILE", "config", err);
	if (!s->config_path || read_optional(s->credentials_path, &s->credentials, err) < 0)
		return -1;
	return read_optional(s->config_path, &s->config, err);
}

/* "[default]" stands alone in the config file; other profiles are "[profile x]". */
static const char *config_kind(const struct creds_shared *s, const char *profile)
{
	if (strcmp(profile, "default") != 0 || creds_ini_has(buf_str(&s->config), "profile", "default"))
		return "profile";
	return NULL;
}

bool creds_shared_has(const struct creds_shared *s, const char *profile)
{
	return creds_ini_has(buf_str(&s->credentials), NULL, profile) ||
	       creds_ini_has(buf_str(&s->config), config_kind(s, profile), profile);
}

int creds_shared_get_in(const struct creds_shared *s, bool config, const char *profile,
	const char *key, char **value, struct error *err)
{
	if (config)
		return creds_ini_get(buf_str(&s->config), config_kind(s, profile), profile, key, NULL,
			value, err);
	return creds_ini_get(buf_str(&s->credentials), NULL, profile, key, NULL, value, err);
}

int creds_shared_get(const struct creds_shared *s, const char *profile, const char *key, char **value,
	struct error *err)
{
	if (creds_shared_get_in(s, false, profile, key, value, err) < 0)
		return -1;
	return *value ? 0 : creds_shared_get_in(s, true, profile, key, value, err);
}

int creds_shared_section(const struct creds_shared *s, const char *kind, const char *name,
	const char *key, const char *sub, char **value, struct error *err)
{
	return creds_ini_get(buf_str(&s->config), kind, name, key, sub, value, err);
}

int creds_shared_nested(const struct creds_shared *s, const char *profile, const char *key,
	const char *sub, char **value, struct error *err)
{
	return creds_ini_get(buf_str(&s->config), config_kind(s, profile), profile, key, sub, value, err);
}
