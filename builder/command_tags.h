/* SPDX-License-Identifier: Apache-2.0 */
/* --name and --tag KEY=VALUE as the tags of an AWS call. */
#ifndef AMIWRIGHT_BUILDER_COMMAND_TAGS_H
#define AMIWRIGHT_BUILDER_COMMAND_TAGS_H

#include "builder/options.h"
#include "uploader/ebs.h"

struct command_tags {
	struct aws_tag *items; /* owned array, with room for one more */
	size_t nr;
	char **texts;          /* owned; what items borrow from */
	size_t nr_texts;
};

/*
 * name: value of a Name tag, or NULL (borrowed). ERROR_USAGE names what is no KEY=VALUE. Release in
 * any case.
 */
int command_tags_parse(struct command_tags *t, const char *name, const struct options_list *list,
	struct error *err) MUST_CHECK;
void command_tags_release(struct command_tags *t);

#endif
