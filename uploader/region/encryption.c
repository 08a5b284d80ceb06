/* SPDX-License-Identifier: Apache-2.0 */
/* The matrices, read from top to bottom. */
#include "uploader/region/encryption.h"

static enum start_choice of_child(const struct start_encryption *e)
{
	if (e->has_flag || e->has_key)
		return START_NOT_WITH_PARENT;
	if (e->parent_encrypted)
		return START_PARENT_KEY;
	return e->default_on ? START_DEFAULT_IS_ON : START_PLAIN;
}

enum start_choice encryption_of_start(const struct start_encryption *e)
{
	if (e->has_parent)
		return of_child(e);
	if (e->has_flag && !e->flag) {
		if (e->has_key)
			return START_KEY_WITHOUT_ENCRYPTION;
		return e->default_on ? START_DEFAULT_IS_ON : START_PLAIN;
	}
	if (e->has_key)
		return START_GIVEN_KEY;
	return e->flag || e->default_on ? START_DEFAULT_KEY : START_PLAIN;
}

/*
 * A key of another Region cannot be kept: then the default one is taken, as when the source belongs
 * to somebody else. CopySnapshot takes it always.
 */
enum copy_choice encryption_of_copy(const struct copy_encryption *e)
{
	bool wanted = e->has_flag && e->flag;

	if (e->has_key && !wanted)
		return COPY_KEY_WITHOUT_ENCRYPTION;
	if (e->encrypted && e->has_flag && !e->flag)
		return COPY_CANNOT_DECRYPT;
	if (e->has_key)
		return COPY_GIVEN_KEY;
	if (!e->encrypted)
		return wanted || e->default_on ? COPY_DEFAULT_KEY : COPY_PLAIN;
	return e->of_image && e->own && e->same_region ? COPY_SAME_KEY : COPY_DEFAULT_KEY;
}
