/* SPDX-License-Identifier: Apache-2.0 */
/* Stores by name. Nothing is ever taken out of the table, so a borrowed store needs no lock. */
#include "uploader/region/stores.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "uploader/region/names.h"

/* With the lock held. */
static struct store *open_one(struct stores *s, const char *name, struct error *err)
{
	CLEANUP_FREE char *path = buf_strf(err, "%s/%s", s->dir, name);
	struct store *store;

	if (!path)
		return NULL;
	if (s->nr == STORES_MAX)
		return error_null(err, ERROR_BUG, 0, "more than %d Regions", STORES_MAX);
	store = store_open(path, name, s->random, err);
	if (store)
		s->items[s->nr++] = store;
	return store;
}

struct store *stores_get(struct stores *s, const char *name, struct error *err)
{
	struct store *store = NULL;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->nr && !store; i++)
		if (strcmp(s->items[i]->name, name) == 0)
			store = s->items[i];
	if (!store)
		store = open_one(s, name, err);
	pthread_mutex_unlock(&s->lock);
	return store;
}

struct store *stores_at(struct stores *s, size_t i)
{
	struct store *store;

	pthread_mutex_lock(&s->lock);
	store = i < s->nr ? s->items[i] : NULL;
	pthread_mutex_unlock(&s->lock);
	return store;
}

static int open_existing(struct stores *s, struct error *err)
{
	DIR *dir = opendir(s->dir);
	struct dirent *entry;
	int ret = 0;

	if (!dir)
		return error_set(err, ERROR_IO, errno, "cannot read folder '%s'", s->dir);
	while (ret == 0 && (entry = readdir(dir)))
		if (region_name_known(entry->d_name))
			ret = open_one(s, entry->d_name, err) ? 0 : -1;
	closedir(dir);
	return ret;
}

int stores_open(struct stores *s, const char *dir, int (*random)(void *buf, size_t len),
	struct error *err)
{
	*s = (struct stores){.random = random, .dir = buf_strf(err, "%s/regions", dir)};
	pthread_mutex_init(&s->lock, NULL);
	if (!s->dir || file_mkdirs(s->dir, 0755, err) < 0)
		return -1;
	return open_existing(s, err);
}

void stores_close(struct stores *s)
{
	if (!s->random)
		return;
	for (size_t i = 0; i < s->nr; i++)
		store_close(s->items[i]);
	pthread_mutex_destroy(&s->lock);
	free(s->dir);
	*s = (struct stores){.nr = 0};
}
