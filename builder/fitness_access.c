/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How somebody gets in: the ssh server, the key of the launch (or another way), host keys made at the
 * first boot, and no password for root from the network.
 */
#include "builder/fitness_internal.h"

#include <fnmatch.h>
#include <string.h>
#include <strings.h>

static const char *const sshd[] = {"/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd", NULL};

struct sshd_config {
	bool root_password;     /* PermitRootLogin yes */
	bool passwords;         /* PasswordAuthentication */
	bool root_seen, passwords_seen;
	bool included_first;    /* sshd_config.d comes before anything else that matters */
};

static bool is_arg(const char *line, const char *key, const char **value)
{
	size_t len = strlen(key);

	if (strncasecmp(line, key, len) || !strchr(" \t=", line[len]))
		return false;
	*value = line + len + strspn(line + len, " \t=\"");
	return true;
}

static void read_sshd_config(struct fit *f, const char *path, struct sshd_config *c, bool top);

static void read_included(struct fit *f, const char *pattern, struct sshd_config *c)
{
	const char *slash = strrchr(pattern, '/');
	CLEANUP_FREE char *dir = NULL;
	struct fit_paths paths;

	if (!slash || pattern[0] != '/')
		return;
	dir = buf_strf(f->err, "%.*s", (int)(slash - pattern), pattern);
	f->failed |= !dir;
	if (!dir)
		return;
	fit_list(f, dir, "", &paths);
	for (size_t i = 0; i < paths.nr; i++)
		if (!fnmatch(pattern, paths.items[i], FNM_PERIOD))
			read_sshd_config(f, paths.items[i], c, false);
	fit_paths_release(&paths);
}

/* sshd_config(5): the first value of a key counts; what follows Match is for some only. */
static void read_sshd_config(struct fit *f, const char *path, struct sshd_config *c, bool top)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);

	if (!fit_read(f, path, &text) || !text.len)
		return;
	for (char *at = text.data, *line; (line = fit_line(&at));) {
		const char *value;

		if (is_arg(line, "Match", &value))
			break;
		if (top && is_arg(line, "Include", &value)) {
			c->included_first |= !strncmp(value, "/etc/ssh/sshd_config.d/*", 24) &&
					     !c->root_seen && !c->passwords_seen;
			read_included(f, value, c);
		} else if (is_arg(line, "PermitRootLogin", &value) && !c->root_seen) {
			c->root_seen = true;
			c->root_password = !strncasecmp(value, "yes", 3);
		} else if (is_arg(line, "PasswordAuthentication", &value) && !c->passwords_seen) {
			c->passwords_seen = true;
			c->passwords = strncasecmp(value, "no", 2) != 0;
		}
	}
}

/* root's second field of shadow(5) is a hash, not "*" or "!…". */
static bool root_has_password(struct fit *f)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);

	if (!fit_read(f, "/etc/shadow", &text) || !text.len)
		return false;
	for (char *at = text.data, *line; (line = fit_line(&at));)
		if (!strncmp(line, "root:", 5))
			return line[5] && line[5] != '*' && line[5] != '!' && line[5] != ':' &&
			       strcspn(line + 5, ":") > 1;
	return false;
}

static bool root_needs_none(struct fit *f)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	CLEANUP_BUF struct buf users = BUF_INIT(0);

	if (fit_read(f, "/etc/passwd", &users) &&
		(!strncmp(buf_str(&users), "root::", 6) || strstr(buf_str(&users), "\nroot::")))
		return true;
	return fit_read(f, "/etc/shadow", &text) &&
	       (!strncmp(buf_str(&text), "root::", 6) || strstr(buf_str(&text), "\nroot::"));
}

static void check_root_password(struct fit *f)
{
	struct sshd_config c = {.passwords = true};

	read_sshd_config(f, "/etc/ssh/sshd_config", &c, true);
	if (root_needs_none(f))
		fit_add(f, FITNESS_WARNING, "root-password",
			buf_strf(f->err, "root needs no password at all"),
			buf_strf(f->err, "in the tree's source: passwd -l root"));
	else if (c.root_password && c.passwords && root_has_password(f))
		fit_add(f, FITNESS_WARNING, "root-password",
			buf_strf(f->err, "root has a password that all instances would share, and sshd takes it"),
			c.included_first ?
				buf_strf(f->err, "- write: {path: /etc/ssh/sshd_config.d/00-root.conf, "
						 "content: \"PermitRootLogin prohibit-password\\n\"}") :
				buf_strf(f->err, "in /etc/ssh/sshd_config: PermitRootLogin prohibit-password"));
}

/* Which unit is there to be enabled. */
static const char *ssh_unit(struct fit *f)
{
	static const char *const units[] = {"ssh.service", "sshd.service"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (fit_unit_dir(f, units[i]))
			return units[i];
	return NULL;
}

static bool ssh_runs(struct fit *f)
{
	static const char *const units[] = {"ssh.service", "sshd.service", "ssh.socket", "sshd.socket",
		"dropbear.service"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (fit_enabled(f, units[i]))
			return true;
	return false;
}

/* The agent of Systems Manager needs no ssh. */
static bool has_agent(struct fit *f)
{
	return fit_enabled(f, "amazon-ssm-agent.service") ||
	       fit_enabled(f, "snap.amazon-ssm-agent.amazon-ssm-agent.service");
}

static void check_ssh(struct fit *f)
{
	const char *unit;

	if (ssh_runs(f) || has_agent(f))
		return;
	unit = ssh_unit(f);
	if (!unit || !fit_first(f, sshd))
		fit_add(f, FITNESS_WARNING, "ssh-server",
			buf_strf(f->err, "there is no ssh server, and no agent of Systems Manager"),
			fit_package_cure(f, (struct fit_package){"openssh-server", "openssh-server"}));
	else
		fit_add(f, FITNESS_WARNING, "ssh-server",
			buf_strf(f->err, "the ssh server is there, but %s is not enabled", unit),
			fit_enable_cure(f, unit, "multi-user.target"));
}

/* A drop-in of the service that makes the keys that are missing. */
static bool has_key_drop_in(struct fit *f)
{
	static const char *const dirs[] = {"/etc/systemd/system/ssh.service.d",
		"/etc/systemd/system/sshd.service.d", "/usr/lib/systemd/system/ssh.service.d"};
	bool found = false;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		CLEANUP_BUF struct buf text = BUF_INIT(0);
		struct fit_paths paths;

		fit_list(f, dirs[i], ".conf", &paths);
		for (size_t k = 0; k < paths.nr; k++)
			found |= fit_read(f, paths.items[k], &text) && strstr(buf_str(&text), "ssh-keygen -A");
		fit_paths_release(&paths);
	}
	return found;
}

/* cloud-init makes host keys; so do Fedora's and Debian 13's sshd-keygen units. Debian 12 has no other way. */
static void check_host_key_maker(struct fit *f)
{
	const char *unit = ssh_unit(f);
	struct fit_paths keys;
	bool have;

	if (!unit || !ssh_runs(f) || f->cloud_init || has_key_drop_in(f) ||
		fit_unit_dir(f, "sshd-keygen.service") || fit_unit_dir(f, "sshd-keygen@.service") ||
		fit_unit_dir(f, "sshd-keygen.target"))
		return;
	fit_list(f, "/etc/ssh", "_key", &keys);
	have = keys.nr > 0;
	fit_paths_release(&keys);
	if (!have)
		fit_add(f, FITNESS_WARNING, "ssh-host-key-maker",
			buf_strf(f->err, "nothing makes ssh host keys at the first boot: sshd will not start"),
			buf_strf(f->err, "- write: {path: /etc/systemd/system/%s.d/host-keys.conf, content: "
					 "\"[Service]\\nExecStartPre=\\nExecStartPre=/usr/bin/ssh-keygen -A\\n"
					 "ExecStartPre=/usr/sbin/sshd -t\\n\"}", unit));
}

/* Keys that are in the image from the start; *.home are few. */
static bool has_baked_key(struct fit *f)
{
	struct fit_paths homes;
	bool found = fit_is_file(f, "/root/.ssh/authorized_keys");

	fit_list(f, "/home", "", &homes);
	for (size_t i = 0; i < homes.nr && !found; i++) {
		CLEANUP_FREE char *path = buf_strf(f->err, "%s/.ssh/authorized_keys", homes.items[i]);

		f->failed |= !path;
		found = path && fit_is_file(f, path);
	}
	fit_paths_release(&homes);
	return found;
}

/*
 * The last datasource_list of cloud-init's files: *list is false when none is there, and then all are
 * asked.
 */
static bool lists_ec2(struct fit *f, const char *path, bool *list)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	bool found = false, inside = false;

	*list = false;
	if (!fit_read(f, path, &text) || !text.len)
		return false;
	for (char *at = text.data, *line; (line = fit_line(&at));) {
		if (!strncmp(line, "datasource_list:", 16)) {
			line += 16;
			*list = inside = true;
			found = false;
		} else if (line[0] != '-') {
			inside = inside && (line[0] == ']' || !strchr(line, ':'));
		}
		found |= inside && (strstr(line, "Ec2") != NULL);
	}
	return found;
}

static void check_datasource(struct fit *f)
{
	struct fit_paths paths;
	bool list, ec2 = lists_ec2(f, "/etc/cloud/cloud.cfg", &list) || !list;

	fit_list(f, "/etc/cloud/cloud.cfg.d", ".cfg", &paths);
	for (size_t i = 0; i < paths.nr; i++) {
		bool found = lists_ec2(f, paths.items[i], &list);

		ec2 = list ? found : ec2;
	}
	fit_paths_release(&paths);
	if (!ec2)
		fit_add(f, FITNESS_WARNING, "cloud-init-datasource",
			buf_strf(f->err, "cloud-init's datasource_list has no Ec2: it will not ask for the key"),
			buf_strf(f->err, "- write: {path: /etc/cloud/cloud.cfg.d/zz_ec2.cfg, content: "
					 "\"datasource_list: [Ec2, None]\\n\"}"));
}

static bool has_other_way(struct fit *f)
{
	static const char *const programs[] = {"/usr/share/ec2-instance-connect/eic_run_authorized_keys",
		"/opt/aws/bin/eic_run_authorized_keys", "/usr/lib/dracut/modules.d/30ignition", NULL};

	return has_agent(f) || fit_first(f, programs) || has_baked_key(f) ||
	       fit_enabled(f, "afterburn-sshkeys@core.service") ||
	       fit_enabled(f, "amazon-init.service") || fit_enabled(f, "ec2-metadata-ssh-key.service");
}

static void check_key(struct fit *f)
{
	if (f->cloud_init) {
		check_datasource(f);
		return;
	}
	if (has_other_way(f))
		return;
	if (fit_exists(f, "/etc/cloud/cloud-init.disabled"))
		fit_add(f, FITNESS_WARNING, "ssh-key",
			buf_strf(f->err, "cloud-init is switched off by /etc/cloud/cloud-init.disabled, and "
					 "nothing else takes the key of the launch"),
			buf_strf(f->err, "- remove: {path: /etc/cloud/cloud-init.disabled}"));
	else if (fit_unit_dir(f, "cloud-init.service") &&
		 !fit_has_word(buf_str(&f->cmdline), "cloud-init=disabled", false)) {
		CLEANUP_FREE char *local = fit_enable_cure(f, "cloud-init-local.service", "cloud-init.target");
		CLEANUP_FREE char *init = fit_enable_cure(f, "cloud-init.service", "cloud-init.target");
		CLEANUP_FREE char *config = fit_enable_cure(f, "cloud-config.service", "cloud-init.target");
		CLEANUP_FREE char *final = fit_enable_cure(f, "cloud-final.service", "cloud-init.target");

		fit_add(f, FITNESS_WARNING, "ssh-key",
			buf_strf(f->err, "cloud-init is there, but not enabled"),
			local && init && config && final ?
				buf_strf(f->err, "%s\n%s\n%s\n%s", local, init, config, final) : NULL);
	} else {
		fit_add(f, FITNESS_WARNING, "ssh-key",
			buf_strf(f->err, "nothing takes the key of the launch from the metadata service"),
			fit_package_cure(f, (struct fit_package){"cloud-init", "cloud-init"}));
	}
}

void fit_check_access(struct fit *f)
{
	check_ssh(f);
	check_host_key_maker(f);
	check_key(f);
	check_root_password(f);
}
