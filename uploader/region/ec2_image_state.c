/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: deprecation, protection against deregistration, and disabling of images. */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum { COOLDOWN_S = 24 * 3600 };
static const int64_t year_s = 365 * 24 * 3600 + 6 * 3600;

/* A call on one own image: `change` answers itself when it returns true. */
static void on_image(struct ec2_ctx *c, const char *id,
	bool (*change)(struct ec2_ctx *c, struct image *image, const void *arg), const void *arg)
{
	struct error err = ERROR_INIT;
	struct image *image;

	pthread_mutex_lock(&c->store->lock);
	image = ec2_own_image(c, id);
	if (image && !ec2_ready(c) && !change(c, image, arg)) {
		if (store_save_image(c->store, image, &err) < 0)
			ec2_internal(c, &err);
		else
			ec2_answer_true(c);
	}
	pthread_mutex_unlock(&c->store->lock);
}

static bool set_text(struct ec2_ctx *c, struct image *image, const char *key, const char *text)
{
	struct error err = ERROR_INIT;

	return json_set_str(image->doc, key, text, &err) < 0 && ec2_internal(c, &err);
}

/* Seconds are dropped: EC2 keeps minutes. */
static bool deprecate(struct ec2_ctx *c, struct image *image, const void *arg)
{
	int64_t when = *(const int64_t *)arg, now = region_now(c->region), created;
	char text[NUM_TIME_TEXT + 8];

	if (num_parse_time(json_get_str(image->doc, "creationDate", ""), &created, NULL) < 0)
		created = now;
	if (when <= now)
		return ec2_refuse(c, "InvalidParameterValue", "The deprecation time must be in the future");
	if (when > now + 10 * year_s)
		return ec2_refuse(c, "InvalidParameterValue",
			"The deprecation time must be at most 10 years from now");
	if (access_image_is_public(image) && when > created + 2 * year_s)
		return ec2_refuse(c, "InvalidParameterValue",
			"The deprecation time of a public image must be at most 2 years from its creation");
	num_format_time(text, when - when % 60);
	memcpy(text + strlen(text) - 1, ".000Z", sizeof(".000Z"));
	return set_text(c, image, "deprecationTime", text);
}

void ec2_call_enable_deprecation(struct ec2_ctx *c)
{
	const char *id, *text;
	int64_t when;

	if (ec2_get_image_id(c, &id) || ec2_get_required(c, "DeprecateAt", &text))
		return;
	if (num_parse_time(text, &when, NULL) < 0)
		ec2_refuse(c, "InvalidParameterValue",
			"Value (%.60s) for parameter deprecateAt is invalid: YYYY-MM-DDTHH:MM:SSZ is right",
			text);
	else
		on_image(c, id, deprecate, &when);
}

static bool undeprecate(struct ec2_ctx *c, struct image *image, const void *arg)
{
	(void)arg;
	return set_text(c, image, "deprecationTime", NULL);
}

void ec2_call_disable_deprecation(struct ec2_ctx *c)
{
	const char *id;

	if (!ec2_get_image_id(c, &id))
		on_image(c, id, undeprecate, NULL);
}

static void answer_text(struct ec2_ctx *c, const char *text)
{
	ec2_begin(c);
	xml_str(&c->xml, "return", text);
	ec2_end(c);
}

/* These two answer a text, not true. */
static bool protect(struct ec2_ctx *c, struct image *image, const void *arg)
{
	const char *state = *(const bool *)arg ? "enabled-with-cooldown" : "enabled-without-cooldown";
	struct error err = ERROR_INIT;

	if (set_text(c, image, "deregistrationProtection", state))
		return true;
	if (json_set_int(image->doc, "protectedUntil", 0, &err) < 0 ||
	    store_save_image(c->store, image, &err) < 0)
		return ec2_internal(c, &err);
	answer_text(c, state);
	return true;
}

void ec2_call_enable_protection(struct ec2_ctx *c)
{
	bool cooldown = false;
	const char *id;

	if (!ec2_get_image_id(c, &id) && !ec2_get_bool(c, "WithCooldown", &cooldown))
		on_image(c, id, protect, &cooldown);
}

/* With a cooldown the protection goes a day after it was switched off. */
static bool unprotect(struct ec2_ctx *c, struct image *image, const void *arg)
{
	const char *old = json_get_str(image->doc, "deregistrationProtection", "");
	bool wait = strcmp(old, "enabled-with-cooldown") == 0;
	int64_t until = wait ? region_now(c->region) + COOLDOWN_S : 0;
	char time[NUM_TIME_TEXT], text[NUM_TIME_TEXT + 20];
	struct error err = ERROR_INIT;

	(void)arg;
	(void)snprintf(text, sizeof(text), wait ? "disabled after %s" : "disabled",
		num_format_time(time, until));
	if (set_text(c, image, "deregistrationProtection", text))
		return true;
	if (json_set_int(image->doc, "protectedUntil", until, &err) < 0 ||
	    store_save_image(c->store, image, &err) < 0)
		return ec2_internal(c, &err);
	answer_text(c, text);
	return true;
}

void ec2_call_disable_protection(struct ec2_ctx *c)
{
	const char *id;

	if (!ec2_get_image_id(c, &id))
		on_image(c, id, unprotect, NULL);
}

bool ec2_image_is_protected(const struct ec2_ctx *c, const struct image *image)
{
	return strncmp(json_get_str(image->doc, "deregistrationProtection", ""), "enabled", 7) == 0 ||
	       json_get_int(image->doc, "protectedUntil", 0) > region_now(c->region);
}

static bool disable(struct ec2_ctx *c, struct image *image, const void *arg)
{
	struct error err = ERROR_INIT;

	(void)arg;
	if (strcmp(json_get_str(image->doc, "imageState", ""), "available") != 0)
		return ec2_refuse(c, "InvalidAMIID.Unavailable", "The image ID '%s' is not available",
			image->id);
	if (ec2_forget_sharing(image, &err) < 0)
		return ec2_internal(c, &err);
	return set_text(c, image, "imageState", "disabled");
}

void ec2_call_disable_image(struct ec2_ctx *c)
{
	const char *id;

	if (!ec2_get_image_id(c, &id))
		on_image(c, id, disable, NULL);
}

static bool enable(struct ec2_ctx *c, struct image *image, const void *arg)
{
	(void)arg;
	if (strcmp(json_get_str(image->doc, "imageState", ""), "disabled") != 0)
		return ec2_refuse(c, "InvalidAMIID.Unavailable", "The image ID '%s' is not disabled",
			image->id);
	return set_text(c, image, "imageState", "available");
}

void ec2_call_enable_image(struct ec2_ctx *c)
{
	const char *id;

	if (!ec2_get_image_id(c, &id))
		on_image(c, id, enable, NULL);
}
