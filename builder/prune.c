/* SPDX-License-Identifier: Apache-2.0 */
/* The plan by number and age is pure; the checks of single images ask EC2, and only for what would go. */
#include "builder/prune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

enum { DAY_S = 86400, MIN_LITERAL = 3 };

int prune_check_name(const char *pattern, bool grouped, struct error *err)
{
	if (grouped || strcspn(pattern, "*?") >= MIN_LITERAL)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"--name: '%s' would put AMIs that have nothing in common into one group: begin with three "
		"characters of the name, or say what belongs together with --group-by TAG", pattern);
}

bool prune_matches(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = ++pattern;
			from = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star) {
			pattern = star;
			name = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static const char *tag_of(const struct prune_item *item, const char *key)
{
	const char *value = key ? ec2_tag_value(&item->image->tags, key) : NULL;

	return value ? value : "";
}

static int compare_groups(const struct prune_item *a, const struct prune_item *b, const char *key)
{
	int order = (a->name > b->name) - (a->name < b->name);

	if (!order)
		order = strcmp(tag_of(a, key), tag_of(b, key));
	return order ? order : strcmp(a->image->architecture, b->image->architecture);
}

/* By group, newest first; ids settle what was made in one second. */
static int compare(const void *pa, const void *pb, void *key)
{
	const struct prune_item *a = pa, *b = pb;
	int order = compare_groups(a, b, key);

	if (!order)
		order = strcmp(b->image->creation_date, a->image->creation_date);
	return order ? order : strcmp(b->image->id, a->image->id);
}

static bool is_deprecated(const struct ec2_image *image, int64_t now)
{
	int64_t from;

	return image->deprecation[0] && !num_parse_time(image->deprecation, &from, NULL) && from <= now;
}

static void decide(struct prune_item *item, const struct prune_opts *o, uint64_t rank)
{
	const struct ec2_image *image = item->image;
	const char *deprecated = is_deprecated(image, o->now) ? ", deprecated" : "";
	int64_t created, age;

	item->remove = false;
	/* What nobody put into a group belongs to none: it is no predecessor of what stands beside it. */
	if (o->group_by && !tag_of(item, o->group_by)[0]) {
		snprintf(item->why, sizeof(item->why), "has no tag '%.127s' to group by", o->group_by);
		return;
	}
	if (num_parse_time(image->creation_date, &created, NULL) < 0) {
		snprintf(item->why, sizeof(item->why), "does not say when it was made");
		return;
	}
	age = o->now - created;
	if (strcmp(image->state, "available") && strcmp(image->state, "failed"))
		snprintf(item->why, sizeof(item->why), "is %s", image->state);
	else if (rank && rank <= o->keep)
		snprintf(item->why, sizeof(item->why), "is number %llu of the newest %llu%s",
			(unsigned long long)rank, (unsigned long long)o->keep, deprecated);
	else if (age < o->older_than_s)
		snprintf(item->why, sizeof(item->why), "is %lld days old", (long long)(age / DAY_S));
	else
		item->remove = true;
	if (item->remove && rank)
		snprintf(item->why, sizeof(item->why), "is number %llu and %lld days old%s",
			(unsigned long long)rank, (long long)(age / DAY_S), deprecated);
	else if (item->remove)
		snprintf(item->why, sizeof(item->why), "failed");
}

/*
 * One group. Those that are still offered have the first numbers, whatever their age: a newer one that
 * is deprecated is no replacement for them.
 */
static void plan_group(struct prune_item *items, size_t nr, const struct prune_opts *o)
{
	uint64_t offered = 0, deprecated;

	for (size_t i = 0; i < nr; i++)
		offered += !strcmp(items[i].image->state, "available") &&
			   !is_deprecated(items[i].image, o->now);
	deprecated = offered;
	offered = 0;
	for (size_t i = 0; i < nr; i++) {
		uint64_t rank = 0;

		if (!strcmp(items[i].image->state, "available"))
			rank = is_deprecated(items[i].image, o->now) ? ++deprecated : ++offered;
		decide(&items[i], o, rank);
	}
}

void prune_plan(struct prune *p, const struct prune_opts *o)
{
	union {
		const char *text;
		void *arg;
	} key = {.text = o->group_by};
	size_t begin = 0;

	if (p->nr)
		qsort_r(p->items, p->nr, sizeof(*p->items), compare, key.arg);
	for (size_t i = 1; i <= p->nr; i++) {
		if (i < p->nr && !compare_groups(&p->items[i - 1], &p->items[i], o->group_by))
			continue;
		plan_group(p->items + begin, i - begin, o);
		begin = i;
	}
}

static int make_items(struct prune *p, const struct prune_opts *o, struct error *err)
{
	p->items = calloc(p->list.nr + 1, sizeof(*p->items));
	if (!p->items)
		return error_nomem(err, "the list of images");
	for (size_t i = 0; i < p->list.nr; i++)
		for (size_t k = 0; k < o->nr_names; k++) {
			if (!prune_matches(o->names[k], p->list.items[i].name))
				continue;
			p->items[p->nr++] = (struct prune_item){.image = &p->list.items[i], .name = k};
			break;
		}
	return 0;
}

/* What stands against a single one; what cannot be found out keeps it. */
static int check_item(struct aws *aws, struct prune_item *item, const struct prune_opts *o,
	struct error *err)
{
	char why[RETIRE_WHY_SIZE];

	if (retire_check(aws, item->image, &o->retire, why, err) < 0) {
		if (err->kind == ERROR_INTERRUPTED)
			return -1;
		snprintf(why, sizeof(why), "is kept: %.300s", err->text);
		error_clear(err);
	}
	if (!why[0])
		return 0;
	item->remove = false;
	memcpy(item->why, why, sizeof(why));
	return 0;
}

static int remove_items(struct prune *p, struct aws *aws, const struct prune_opts *o,
	struct error *err)
{
	const struct error *first = NULL;
	size_t failed = 0, tried = 0;

	for (size_t i = 0; i < p->nr; i++) {
		struct prune_item *item = &p->items[i];

		if (!item->remove)
			continue;
		tried++;
		if (!retire_image(aws, item->image, &o->retire, &item->done, &item->error))
			continue;
		if (item->error.kind == ERROR_INTERRUPTED) {
			*err = item->error;
			return -1;
		}
		failed++;
		first = first ? first : &item->error;
		log_warn("%s", item->error.text);
	}
	if (!failed)
		return 0;
	*err = *first;
	return error_wrap(err, "%zu of %zu AMIs were not removed whole", failed, tried);
}

int prune_run(struct prune *p, struct aws *aws, const struct prune_opts *o, struct error *err)
{
	memset(p, 0, sizeof(*p));
	if (ec2_describe_images(aws, NULL, NULL, 0, &p->list, err) < 0 || make_items(p, o, err) < 0)
		return -1;
	prune_plan(p, o);
	for (size_t i = 0; i < p->nr; i++)
		if (p->items[i].remove && check_item(aws, &p->items[i], o, err) < 0)
			return -1;
	return o->remove || o->retire.dry_run ? remove_items(p, aws, o, err) : 0;
}

void prune_release(struct prune *p)
{
	for (size_t i = 0; i < p->nr; i++)
		retire_result_release(&p->items[i].done);
	free(p->items);
	ec2_image_list_release(&p->list);
	memset(p, 0, sizeof(*p));
}
