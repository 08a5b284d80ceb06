/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What another program says may hold secrets that nobody has named to the log yet: helpers for
 * credentials print what they got when they fail or are told to be verbose. Hidden are the values of
 * fields with a secret's name, and words that look like a secret: secret keys have 40 characters of
 * base64, tokens more. A word of letters in both cases and digits that is as long hardly ever is
 * anything else; digests in hex have one case.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "uploader/creds_internal.h"

enum { SECRET_MIN = 40 };

static const char *const names[] = {"SecretAccessKey", "SessionToken", "secret_access_key",
	"session_token", "security_token"};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("+/-_", c));
}

/* Length of the name of a secret that text begins with; 0 when it begins with none. */
static size_t name_at(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strncasecmp(text, names[i], strlen(names[i])) == 0)
			return strlen(names[i]);
	}
	return 0;
}

/* What stands between a name and its value; 0 when the name is only spoken of. */
static size_t separator_at(const char *text)
{
	size_t len = strspn(text, "\"'\\ \t\r\n:=");

	return memchr(text, ':', len) || memchr(text, '=', len) ? len : 0;
}

static bool looks_secret(const char *word, size_t len)
{
	bool upper = false, lower = false, digit = false;

	for (size_t i = 0; i < len; i++) {
		upper |= isupper((unsigned char)word[i]) != 0;
		lower |= islower((unsigned char)word[i]) != 0;
		digit |= isdigit((unsigned char)word[i]) != 0;
	}
	return len >= SECRET_MIN && upper && lower && digit;
}

/* Moves len bytes, or no more than as many stars instead of them. */
static void move(char **out, const char **in, size_t len, bool hide)
{
	size_t shown = hide ? MIN(len, (size_t)3) : len;

	if (hide)
		memset(*out, '*', shown);
	else
		memmove(*out, *in, shown);
	*out += shown;
	*in += len;
}

void creds_hide(char *text)
{
	const char *in = text;
	char *out = text;

	while (*in) {
		size_t name = name_at(in), separator = separator_at(in + name), len = name;

		if (name && separator) {
			move(&out, &in, name + separator, false);
			move(&out, &in, strcspn(in, "\"'\\ \t\r\n,}"), true);
			continue;
		}
		/* A name may end a longer word: AWS_SECRET_ACCESS_KEY. */
		while (is_word(in[len]) && !name_at(in + len))
			len++;
		move(&out, &in, MAX(len, (size_t)1), looks_secret(in, len));
	}
	*out = '\0';
}
