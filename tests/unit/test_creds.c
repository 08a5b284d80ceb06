/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials and settings from made-up environments and files.
 */
#include "uploader/aws_provider.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/creds_internal.h"

static char home[4096];

struct pair {
	const char *name, *value;
};

static const char *lookup(void *arg, const char *name)
{
	const struct pair *p = arg;

	if (strcmp(name, "HOME") == 0)
		return home;
	for (; p && p->name; p++) {
		if (strcmp(p->name, name) == 0)
			return p->value;
	}
	/* The machine that the tests run on may be an instance. */
	return strcmp(name, "AWS_EC2_METADATA_DISABLED") == 0 ? "true" : NULL;
}

static struct aws_env env_of(struct pair *pairs)
{
	return (struct aws_env){lookup, pairs};
}

static void write_file(const char *name, const char *text)
{
	char path[5000];

	snprintf(path, sizeof(path), "%s/.aws/%s", home, name);
	if (!text)
		unlink(path);
	else
		assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, false, NULL), 0);
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char dir[5000];

	(void)state;
	log_set_fd(-1);
	snprintf(home, sizeof(home), "%s/amiwright-creds-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(home))
		return -1;
	snprintf(dir, sizeof(dir), "%s/.aws", home);
	return file_mkdirs(dir, 0700, NULL);
}

static int teardown(void **state)
{
	char dir[5000];

	(void)state;
	log_release();
	write_file("credentials", NULL);
	write_file("config", NULL);
	snprintf(dir, sizeof(dir), "%s/.aws", home);
	return rmdir(dir) | rmdir(home);
}

static int64_t wall_s(void *arg)
{
	(void)arg;
	return 1700000000;
}

static uint64_t monotonic_ms(void *arg)
{
	(void)arg;
	return 1000;
}

static double no_random(void *arg)
{
	(void)arg;
	return 0;
}

/* The chain's result, loaded; NULL with err. */
static struct aws_provider *provider(struct pair *pairs, const char *profile,
	struct aws_settings *settings, struct error *err)
{
	const struct aws_clock clock = {wall_s, monotonic_ms, no_random, NULL};
	struct aws_env env = env_of(pairs);
	struct aws_provider_opts opts = {
		.env = &env,
		.clock = &clock,
		.profile = profile,
		.settings = settings,
	};
	struct aws_provider *p;

	assert_int_equal(aws_settings_load(settings, &env, profile, NULL), 0);
	p = aws_provider_new(&opts, err);
	if (!p || aws_provider_load(p, err) == 0)
		return p;
	aws_provider_free(p);
	return NULL;
}

static void expect(struct pair *pairs, const char *profile, const char *key, const char *secret,
	const char *token, const char *origin)
{
	struct error err = ERROR_INIT;
	const struct aws_creds *c;
	struct aws_settings settings;
	struct aws_provider *p = provider(pairs, profile, &settings, &err);

	if (!p)
		fail_msg("%s", err.text);
	assert_int_equal(aws_provider_get(p, &c, &err), AWS_PROVIDER_READY);
	assert_string_equal(c->access_key, key);
	assert_string_equal(c->secret_key, secret);
	if (token)
		assert_string_equal(c->session_token, token);
	else
		assert_null(c->session_token);
	assert_non_null(strstr(c->origin, origin));
	aws_provider_free(p);
	aws_settings_release(&settings);
}

static void expect_error(struct pair *pairs, const char *profile, const char *part)
{
	struct error err = ERROR_INIT;
	struct aws_settings settings;

	assert_null(provider(pairs, profile, &settings, &err));
	if (!strstr(err.text, part))
		fail_msg("'%s' lacks '%s'", err.text, part);
	assert_int_equal(err.kind, ERROR_USAGE);
	aws_settings_release(&settings);
}

static void test_environment(void **state)
{
	struct pair all[] = {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "secret1"},
		{"AWS_SESSION_TOKEN", "token1"}, {"AWS_CREDENTIAL_EXPIRATION", "2030-01-01T00:00:00Z"},
		{NULL, NULL}};
	struct pair half[] = {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {NULL, NULL}};
	struct pair when[] = {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "secret1"},
		{"AWS_CREDENTIAL_EXPIRATION", "tomorrow"}, {NULL, NULL}};
	struct pair blank[] = {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "a b"},
		{NULL, NULL}};

	(void)state;
	write_file("credentials", "[default]\naws_access_key_id=F\naws_secret_access_key=filesecret\n");
	expect(all, NULL, "AKIA1", "secret1", "token1", "environment");
	/* A profile named by option wins over the environment. */
	expect(all, "default", "F", "filesecret", NULL, "profile 'default'");
	expect_error(half, NULL, "AWS_SECRET_ACCESS_KEY is not");
	expect_error(blank, NULL, "contain a space");
	expect_error(when, NULL, "AWS_CREDENTIAL_EXPIRATION");
}

static void test_files(void **state)
{
	struct pair named[] = {{"AWS_PROFILE", "work"}, {NULL, NULL}};
	struct pair elsewhere[] = {{"AWS_SHARED_CREDENTIALS_FILE", "~/.aws/config"}, {NULL, NULL}};

	(void)state;
	write_file("credentials",
		"# comment\n[default]\n aws_access_key_id = D ; note\nAWS_SECRET_ACCESS_KEY = d#secret\n"
		"[other]\naws_access_key_id = O\n\n[work]\n"
		"aws_access_key_id=W\r\naws_secret_access_key=wsecret=+/\r\naws_session_token = tok\n"
		"[default]\naws_access_key_id = D2\n");
	write_file("config", "[profile conf]\naws_access_key_id = C\naws_secret_access_key = csecret\n"
			     "[default]\naws_access_key_id = X\naws_secret_access_key = xsecret\n");
	/* Repeated sections are one; the last value counts. */
	expect(NULL, NULL, "D2", "d#secret", NULL, "profile 'default'");
	expect(named, NULL, "W", "wsecret=+/", "tok", "profile 'work'");
	expect(NULL, "conf", "C", "csecret", NULL, "/config");
	expect(elsewhere, NULL, "X", "xsecret", NULL, "/config");
	expect_error(NULL, "other", "has no aws_secret_access_key");
	expect_error(NULL, "missing", "no profile 'missing'");
	write_file("credentials", NULL);
	write_file("config", NULL);
	expect_error(NULL, NULL, "no AWS credentials: looked for AWS_ACCESS_KEY_ID");
}

/* Neither is waited for, nor do they hide what follows. */
static void test_odd_files(void **state)
{
	struct pair none[] = {{"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"}, {"AWS_CONFIG_FILE", "/dev/null"},
		{NULL, NULL}};
	struct pair zero[] = {{"AWS_CONFIG_FILE", "/dev/zero"}, {NULL, NULL}};
	struct aws_env env = env_of(zero);
	struct error err = ERROR_INIT;
	struct aws_settings s;
	char path[5000];

	(void)state;
	write_file("credentials", "\xef\xbb\xbf[default]\naws_access_key_id=F\naws_secret_access_key=fsecret\n");
	expect(NULL, NULL, "F", "fsecret", NULL, "profile 'default'");
	expect_error(none, NULL, "no AWS credentials: looked for");
	assert_int_equal(aws_settings_load(&s, &env, NULL, &err), -1);
	assert_string_equal(err.text, "'/dev/zero' is not a regular file");
	assert_int_equal(err.kind, ERROR_USAGE);
	write_file("credentials", NULL);
	snprintf(path, sizeof(path), "%s/.aws/credentials", home);
	assert_int_equal(mkfifo(path, 0600), 0);
	env = env_of(NULL);
	assert_int_equal(aws_settings_load(&s, &env, NULL, &err), -1);
	assert_non_null(strstr(err.text, "/.aws/credentials' is not a regular file"));
	unlink(path);
}

static void test_process(void **state)
{
	(void)state;
	write_file("config",
		"[profile proc]\ncredential_process = printf '%s' \"{\\\"Version\\\": 1, \\\"AccessKeyId\\\": "
		"\\\"P\\\", \\\"SecretAccessKey\\\": \\\"psecret\\\", \\\"SessionToken\\\": \\\"ptoken\\\"}\"\n"
		"[profile old]\ncredential_process = echo {\\\"Version\\\":2}\n"
		"[profile text]\ncredential_process = echo hush-hush-text\n"
		"[profile quote]\ncredential_process = echo 'a\n"
		"[profile login]\nlogin_session = arn:aws:iam::1:user/me\n"
		"[profile keys]\naws_access_key_id=K\naws_secret_access_key=ksecret\n"
		"credential_process = false\n");
	write_file("credentials", "[keys]\naws_access_key_id=F\naws_secret_access_key=fsecret\n");
	expect(NULL, "proc", "P", "psecret", "ptoken", "credential_process of profile 'proc'");
	expect_error(NULL, "quote", "a quote is not closed");
	expect_error(NULL, "login", "login_session, which is not supported");
	/* The credentials file goes before the process, the config file's keys after it. */
	expect(NULL, "keys", "F", "fsecret", NULL, "/credentials");
	write_file("credentials", NULL);
}

/* What comes from the program is damaged input, not wrong usage; and is not shown. */
static void test_process_output(void **state)
{
	static const char *const texts[][2] = {{"old", "Version is not 1"}, {"text", "did not print"},
		{"keys", "false failed (exit status 1)"}};
	struct aws_settings settings;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		error_clear(&err);
		assert_null(provider(NULL, texts[i][0], &settings, &err));
		assert_int_equal(err.kind, ERROR_INPUT);
		if (!strstr(err.text, texts[i][1]) || strstr(err.text, "hush"))
			fail_msg("'%s' lacks '%s'", err.text, texts[i][1]);
		aws_settings_release(&settings);
	}
}

/* What it says while it fails is told, but for what looks like a secret, and the last lines only. */
static void test_process_messages(void **state)
{
	struct aws_settings settings;
	struct error err = ERROR_INIT;

	(void)state;
	write_file("config", "[profile talks]\ncredential_process = sh -c 'printf \"first\\n2\\n"
		"\\\"SecretAccessKey\\\": \\\"hush1\\\"\\nhas expired\\n\" >&2; exit 1'\n");
	assert_null(provider(NULL, "talks", &settings, &err));
	if (strstr(err.text, "hush") || strstr(err.text, "first") || !strstr(err.text, "has expired"))
		fail_msg("'%s'", err.text);
	aws_settings_release(&settings);
}

static void test_hide(void **state)
{
	static const char *const texts[][2] = {
		{"{\"SecretAccessKey\": \"hush\", \"SessionToken\":\"hush+/=\"}",
			"{\"SecretAccessKey\": \"***\", \"SessionToken\":\"***\"}"},
		{"{\\\"SessionToken\\\": \\\"hush\\\"}", "{\\\"SessionToken\\\": \\\"***\\\"}"},
		{"export AWS_SECRET_ACCESS_KEY=hush;x", "export AWS_SECRET_ACCESS_KEY=***"},
		{"aws_session_token = hush\nnext", "aws_session_token = ***\nnext"},
		{"got wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY!", "got ***!"},
		{"the SessionToken has expired", "the SessionToken has expired"},
		{"commit 0123456789abcdef0123456789abcdef01234567", "commit 0123456789abcdef0123456789abcdef01234567"},
		{"SessionToken", "SessionToken"}, {"SecretAccessKey=a", "SecretAccessKey=*"}, {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char text[200];

		snprintf(text, sizeof(text), "%s", texts[i][0]);
		creds_hide(text);
		assert_string_equal(text, texts[i][1]);
	}
}

static void test_chain(void **state)
{
	struct pair token[] = {{"AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"}, {NULL, NULL}};
	struct pair outside[] = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/creds"},
		{NULL, NULL}};
	static const struct {
		const char *profile, *text;
	} faults[] = {
		{"both", "both source_profile and credential_source"},
		{"none", "neither source_profile nor credential_source"},
		{"missing", "source_profile 'nowhere' of profile 'missing' is neither in"},
		{"loop", "leads back to profile 'loop'"},
		{"self", "its own source_profile but has no"},
		{"bare", "source_profile 'empty' of profile 'bare' has no credentials"},
		{"word", "'Elsewhere', not one of"},
		{"short", "duration_seconds of profile 'short' is '60'"},
		{"env", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"},
		{"sso", "profile 'sso' is for single sign-on but has no sso_region"},
		{"session", "sso-session 'gone' has no sso_start_url"},
	};

	(void)state;
	write_file("credentials", NULL);
	write_file("config",
		"[profile both]\nrole_arn=r\nsource_profile=x\ncredential_source=Environment\n"
		"[profile none]\nrole_arn=r\n[profile missing]\nrole_arn=r\nsource_profile=nowhere\n"
		"[profile loop]\nrole_arn=r\nsource_profile=loop2\n"
		"[profile loop2]\nrole_arn=r\nsource_profile=loop\n"
		"[profile self]\nrole_arn=r\nsource_profile=self\n[profile empty]\nregion=x\n"
		"[profile bare]\nrole_arn=r\nsource_profile=empty\n"
		"[profile word]\nrole_arn=r\ncredential_source=Elsewhere\n"
		"[profile short]\nrole_arn=r\ncredential_source=Environment\nduration_seconds=60\n"
		"[profile env]\nrole_arn=r\ncredential_source=Environment\n"
		"[profile sso]\nsso_account_id=1\nsso_role_name=r\nsso_start_url=u\n"
		"[profile session]\nsso_session=gone\nsso_account_id=1\nsso_role_name=r\n");
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		expect_error(NULL, faults[i].profile, faults[i].text);
	expect_error(token, NULL, "needs a role: set AWS_ROLE_ARN");
	expect_error(outside, NULL, "must be https, or http to this machine");
}

static void test_redacted(void **state)
{
	struct pair all[] = {{"AWS_ACCESS_KEY_ID", "AKIA1"}, {"AWS_SECRET_ACCESS_KEY", "hush-hush"},
		{NULL, NULL}};
	char text[] = "key hush-hush here";

	(void)state;
	expect(all, NULL, "AKIA1", "hush-hush", NULL, "environment");
	log_redact_text(text);
	assert_null(strstr(text, "hush"));
}

static void expect_settings(struct pair *pairs, const char *profile, const char *region,
	const char *ebs, const char *ec2, int attempts)
{
	struct aws_env env = env_of(pairs);
	struct error err = ERROR_INIT;
	struct aws_settings s;
	const struct {
		const char *want, *got;
	} texts[] = {{region, NULL}, {ebs, NULL}, {ec2, NULL}};
	const char *got[3];

	if (aws_settings_load(&s, &env, profile, &err) < 0)
		fail_msg("%s", err.text);
	got[0] = s.region;
	got[1] = s.endpoint[AWS_EBS];
	got[2] = s.endpoint[AWS_EC2];
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i].want)
			assert_string_equal(got[i], texts[i].want);
		else
			assert_null(got[i]);
	}
	assert_int_equal(s.max_attempts, attempts);
	aws_settings_release(&s);
}

static void test_settings(void **state)
{
	struct pair env[] = {{"AWS_REGION", "eu-west-1"}, {"AWS_DEFAULT_REGION", "eu-west-2"},
		{"AWS_ENDPOINT_URL", "http://127.0.0.1:1"}, {"AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:2"},
		{"AWS_MAX_ATTEMPTS", "3"}, {NULL, NULL}};
	struct pair ignore[] = {{"AWS_ENDPOINT_URL", "http://127.0.0.1:1"},
		{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"}, {NULL, NULL}};
	struct pair wrong[] = {{"AWS_MAX_ATTEMPTS", "many"}, {NULL, NULL}};
	struct aws_env bad = env_of(wrong);
	struct error err = ERROR_INIT;
	struct aws_settings s;

	(void)state;
	write_file("credentials", NULL);
	write_file("config",
		"[default]\nregion = us-east-2\nmax_attempts = 4\n"
		"[profile p]\nregion = us-west-2\nendpoint_url = http://localhost:9\nservices = s\n"
		"s3 =\n  region = nowhere\n"
		"[services s]\nebs =\n  endpoint_url = http://localhost:8\nec2 =\n  other = x\n");
	expect_settings(env, NULL, "eu-west-1", "http://127.0.0.1:1", "http://127.0.0.1:2", 3);
	expect_settings(NULL, NULL, "us-east-2", NULL, NULL, 4);
	expect_settings(NULL, "p", "us-west-2", "http://localhost:8", "http://localhost:9", 0);
	expect_settings(ignore, "p", "us-west-2", NULL, NULL, 0);
	assert_int_equal(aws_settings_load(&s, &bad, NULL, &err), -1);
	assert_non_null(strstr(err.text, "AWS_MAX_ATTEMPTS"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_odd_files),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_process_output),
		cmocka_unit_test(test_process_messages),
		cmocka_unit_test(test_hide),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_redacted),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
