/* SPDX-License-Identifier: Apache-2.0 */
/* The points of fitness: asking all groups of checks, and the points as text and JSON. */
#include "builder/fitness.h"

#include <stdlib.h>
#include <string.h>

#include "builder/fitness_internal.h"

enum { CMDLINE_MAX = 4 << 20 };

void fit_add(struct fit *f, enum fitness_level level, const char *name, char *text, char *cure)
{
	struct fitness_point *items = NULL;

	f->failed |= !text || !cure;
	if (!f->failed) {
		items = reallocarray(f->out->items, f->out->nr + 1, sizeof(*items));
		if (!items) {
			f->failed = true;
			error_nomem(f->err, "the points of fitness");
		}
	}
	if (f->failed) {
		free(text);
		free(cure);
		return;
	}
	f->out->items = items;
	items[f->out->nr++] = (struct fitness_point){name, level, text, cure};
}

/* ID and ID_LIKE of os-release(5). */
static enum fit_distribution find_distribution(struct fit *f)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	enum fit_distribution found = FIT_OTHER;

	if (!fit_read(f, "/etc/os-release", &text) && !fit_read(f, "/usr/lib/os-release", &text))
		return fit_exists(f, "/etc/debian_version") ? FIT_DEBIAN : FIT_OTHER;
	for (char *at = text.data ? text.data : (char[]){""}, *line; (line = fit_line(&at));) {
		bool id = !strncmp(line, "ID=", 3);

		if (!id && strncmp(line, "ID_LIKE=", 8))
			continue;
		if (fit_has_word(line, "ubuntu", false))
			found = FIT_UBUNTU;
		else if (fit_has_word(line, "amzn", false))
			found = FIT_AMAZON;
		else if (found == FIT_OTHER && fit_has_word(line, "debian", false))
			found = FIT_DEBIAN;
		else if (found == FIT_OTHER && (fit_has_word(line, "fedora", false) ||
						       fit_has_word(line, "rhel", false)))
			found = FIT_FEDORA;
	}
	return found;
}

static void add_cmdline_text(struct fit *f, const char *path)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);

	if (!fit_read(f, path, &text))
		return;
	for (char *at = text.data ? text.data : (char[]){""}, *line; !f->failed && (line = fit_line(&at));) {
		f->cmdline_known = true;
		f->failed = buf_addf(&f->cmdline, f->err, "%s\n", line) < 0;
	}
}

/* Where the loaders that a tree brings itself have it. */
static void find_cmdline(struct fit *f)
{
	static const char *const files[] = {"/etc/kernel/cmdline", "/usr/lib/kernel/cmdline",
		"/etc/default/grub", "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub2/grubenv"};
	static const char *const dirs[][2] = {{"/etc/default/grub.d", ".cfg"},
		{"/boot/loader/entries", ".conf"}, {"/boot/efi/loader/entries", ".conf"},
		{"/efi/loader/entries", ".conf"}};

	if (f->in->cmdline) {
		f->cmdline_known = true;
		f->failed |= buf_add_str(&f->cmdline, f->in->cmdline, f->err) < 0;
		return;
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		add_cmdline_text(f, files[i]);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct fit_paths paths;

		fit_list(f, dirs[i][0], dirs[i][1], &paths);
		for (size_t k = 0; k < paths.nr; k++)
			add_cmdline_text(f, paths.items[k]);
		fit_paths_release(&paths);
	}
}

static bool has_cloud_init(struct fit *f)
{
	return (fit_enabled(f, "cloud-init.service") || fit_enabled(f, "cloud-init-network.service") ||
		       fit_enabled(f, "cloud-init")) &&
	       !fit_exists(f, "/etc/cloud/cloud-init.disabled") &&
	       !fit_has_word(buf_str(&f->cmdline), "cloud-init=disabled", false);
}

int fitness_check(const struct fitness_in *in, struct fitness *out, struct error *err)
{
	struct fit f = {.in = in, .out = out, .err = err, .cmdline = BUF_INIT(CMDLINE_MAX)};

	*out = (struct fitness){NULL, 0};
	f.distribution = find_distribution(&f);
	find_cmdline(&f);
	f.cloud_init = has_cloud_init(&f);
	if (in->bootable) {
		fit_check_boot(&f);
		fit_check_network(&f);
		fit_check_access(&f);
		fit_check_growth(&f);
	}
	fit_check_identity(&f);
	buf_release(&f.cmdline);
	return f.failed ? -1 : 0;
}

void fitness_release(struct fitness *f)
{
	for (size_t i = 0; i < f->nr; i++) {
		free(f->items[i].text);
		free(f->items[i].cure);
	}
	free(f->items);
	*f = (struct fitness){NULL, 0};
}

int fitness_text(const struct fitness_point *p, struct buf *out, struct error *err)
{
	return buf_addf(out, err, "%s: %s; cure:%s%s", p->name, p->text, strchr(p->cure, '\n') ? "\n" : " ",
		p->cure);
}

static struct json *point_json(const struct fitness_point *p, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = json_new_object(err);

	if (!j || json_set_str(j, "name", p->name, err) < 0 ||
		json_set_str(j, "level", p->level == FITNESS_FATAL ? "fatal" : "warning", err) < 0 ||
		json_set_str(j, "text", p->text, err) < 0 || json_set_str(j, "cure", p->cure, err) < 0)
		return NULL;
	return steal_ptr(&j);
}

struct json *fitness_json(const struct fitness *f, struct error *err)
{
	CLEANUP(json_cleanup) struct json *list = json_new_array(err);

	for (size_t i = 0; list && i < f->nr; i++)
		if (json_append(list, point_json(&f->items[i], err), err) < 0)
			return NULL;
	return steal_ptr(&list);
}
