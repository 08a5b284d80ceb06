/* SPDX-License-Identifier: Apache-2.0 */
/* Tags from the command line. */
#include "builder/command_tags.h"

#include <stdlib.h>
#include <string.h>

static int parse_one(struct command_tags *t, const char *option, struct error *err)
{
	char *text = buf_strf(err, "%s", option);
	char *eq = text ? strchr(text, '=') : NULL;

	if (!text)
		return -1;
	t->texts[t->nr_texts++] = text;
	if (!eq || eq == text)
		return error_set(err, ERROR_USAGE, 0, "--tag: '%s' is not KEY=VALUE", option);
	*eq = '\0';
	for (size_t i = 0; i < t->nr; i++)
		if (!strcmp(t->items[i].key, text))
			return error_set(err, ERROR_USAGE, 0, "--tag: key '%s' is given twice", text);
	t->items[t->nr++] = (struct aws_tag){text, eq + 1};
	return 0;
}

int command_tags_parse(struct command_tags *t, const char *name, const struct options_list *list,
	struct error *err)
{
	memset(t, 0, sizeof(*t));
	t->items = calloc(list->nr + 2, sizeof(*t->items)); /* one for the caller to add */
	t->texts = calloc(list->nr + 1, sizeof(*t->texts));
	if (!t->items || !t->texts)
		return error_nomem(err, "tags");
	if (name)
		t->items[t->nr++] = (struct aws_tag){"Name", name};
	for (size_t i = 0; i < list->nr; i++)
		if (parse_one(t, list->items[i], err) < 0)
			return -1;
	return 0;
}

void command_tags_release(struct command_tags *t)
{
	for (size_t i = 0; i < t->nr_texts; i++)
		free(t->texts[i]);
	free(t->texts);
	free(t->items);
	memset(t, 0, sizeof(*t));
}
