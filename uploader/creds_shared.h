/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two shared files, read at one moment: ~/.aws/credentials ("[name]" sections) and
 * ~/.aws/config ("[default]", "[profile name]", "[sso-session name]", "[services name]"). Source:
 * AWS SDKs and Tools Reference Guide, "Shared config and credentials files".
 */
#ifndef AMIWRIGHT_UPLOADER_CREDS_SHARED_H
#define AMIWRIGHT_UPLOADER_CREDS_SHARED_H

#include "base/buf.h"
#include "uploader/aws_env.h"

#include <stdbool.h>

struct creds_shared {
	char *profile; /* the one that is meant */
	bool named;    /* somebody asked for it: it must exist */
	bool explicit; /* by option: then it goes before credentials in the environment */
	char *credentials_path, *config_path;
	struct buf credentials, config;
};

/* A file that is not there is an empty one. Release in any case. */
int creds_shared_load(struct creds_shared *s, const struct aws_env *env, const char *profile,
	struct error *err) MUST_CHECK;
/* Wipes what was read. */
void creds_shared_release(struct creds_shared *s);

/* Whether either file has a section of that profile. */
bool creds_shared_has(const struct creds_shared *s, const char *profile);
/*
 * A profile's key: in the credentials file, else in the config file; *value stays NULL when neither
 * has it. The caller frees it.
 */
int creds_shared_get(const struct creds_shared *s, const char *profile, const char *key, char **value,
	struct error *err) MUST_CHECK;
/* The same in one of the files alone. */
int creds_shared_get_in(const struct creds_shared *s, bool config, const char *profile,
	const char *key, char **value, struct error *err) MUST_CHECK;
/* A key of a nested map in the profile's section of the config file. */
int creds_shared_nested(const struct creds_shared *s, const char *profile, const char *key,
	const char *sub, char **value, struct error *err) MUST_CHECK;
/* A section "[kind name]" of the config file; sub as for creds_ini_get(). */
int creds_shared_section(const struct creds_shared *s, const char *kind, const char *name,
	const char *key, const char *sub, char **value, struct error *err) MUST_CHECK;

#endif
