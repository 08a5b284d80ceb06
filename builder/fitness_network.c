/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DHCP on the first interface, by whichever of the usual ways. Nitro instances call it ens5 (or
 * enp…); eth0 it is only with net.ifnames=0.
 */
#include "builder/fitness_internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* Names that the first interface may have. */
static const char *const predictable[] = {"ens5", "enp0s5", NULL};
static const char *const old[] = {"eth0", NULL};

struct network {
	struct fit *f;
	bool by_old_name; /* a configuration is there, but for eth0 alone */
	char *where;      /* of it; owned */
};

static bool settled(const struct network *n)
{
	return n->where && !n->by_old_name;
}

static bool uses_old_names(struct fit *f)
{
	return fit_has_word(buf_str(&f->cmdline), "net.ifnames=0", false) ||
	       fit_is_link(f, "/etc/systemd/network/99-default.link") ||
	       fit_is_link(f, "/etc/udev/rules.d/80-net-setup-link.rules");
}

static bool fits_one(const char *pattern, const char *const *names)
{
	for (; *names; names++)
		if (!fnmatch(pattern, *names, 0))
			return true;
	return false;
}

/* A list of patterns between blanks against the names; "!" in front of the list turns it round. */
static bool fits(const char *patterns, const char *const *names)
{
	bool inverted = *patterns == '!', found = false;
	char one[64];

	for (patterns += inverted; *patterns;) {
		size_t len = strcspn(patterns, " \t");

		if (len && len < sizeof(one)) {
			memcpy(one, patterns, len);
			one[len] = '\0';
			found |= fits_one(one, names);
		}
		patterns += len + strspn(patterns + len, " \t");
	}
	return found != inverted;
}

/* What ens5 is, for each key of [Match] that a general file may have. It has no kind, as bridges have. */
static const struct {
	const char *key, *is[3];
} interface[] = {
	{"Type=", {"ether"}}, {"Driver=", {"ena"}}, {"Kind=", {NULL}}, {"Virtualization=", {"vm", "yes"}},
};

struct network_file {
	bool matches, by_old_name, dhcp;
};

static void read_match(struct network_file *n, const char *line, bool old_names)
{
	if (!strncmp(line, "Name=", 5)) {
		if (!fits(line + 5, old_names ? old : predictable)) {
			n->matches = false;
			n->by_old_name = fits(line + 5, old);
		}
		return;
	}
	for (size_t i = 0; i < sizeof(interface) / sizeof(interface[0]); i++) {
		size_t len = strlen(interface[i].key);

		if (!strncmp(line, interface[i].key, len)) {
			n->matches &= fits(line + len, interface[i].is);
			return;
		}
	}
	/* A MAC address, a path, a host name, a wireless network: one machine's business. */
	if (strncmp(line, "Architecture=", 13) && strncmp(line, "Kernel", 6) &&
		strncmp(line, "Credential=", 11))
		n->matches = false;
}

static bool is_dhcp(const char *line)
{
	static const char *const values[] = {"yes", "true", "on", "1", "ipv4", "both", "v4"};

	if (strncmp(line, "DHCP=", 5))
		return false;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (!strcmp(line + 5, values[i]))
			return true;
	return false;
}

/* systemd.network(5); a file without [Match] fits every interface. */
static void read_network_file(struct network *n, const char *path)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct network_file file = {.matches = true};
	bool old_names = uses_old_names(n->f);
	const char *section = "";

	if (!fit_read(n->f, path, &text) || !text.len)
		return;
	for (char *at = text.data, *line; (line = fit_line(&at));) {
		if (line[0] == '[')
			section = line;
		else if (!strcmp(section, "[Match]"))
			read_match(&file, line, old_names);
		else if (!strcmp(section, "[Network]"))
			file.dhcp |= is_dhcp(line);
	}
	if (!file.dhcp || (!file.matches && !file.by_old_name))
		return;
	n->by_old_name |= !file.matches;
	if (!n->where)
		n->where = buf_strf(n->f->err, "%s", path);
	n->f->failed |= !n->where;
	if (file.matches && n->where)
		n->by_old_name = false;
}

static bool by_networkd(struct network *n)
{
	static const char *const dirs[] = {"/etc/systemd/network", "/usr/local/lib/systemd/network",
		"/usr/lib/systemd/network", "/lib/systemd/network"};

	if (!fit_enabled(n->f, "systemd-networkd.service"))
		return false;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !settled(n); i++) {
		struct fit_paths paths;

		fit_list(n->f, dirs[i], ".network", &paths);
		for (size_t k = 0; k < paths.nr && !settled(n); k++)
			read_network_file(n, paths.items[k]);
		fit_paths_release(&paths);
	}
	return settled(n);
}

/* It brings up every wired interface by DHCP by itself, unless it is told not to. */
static bool by_network_manager(struct network *n)
{
	static const char *const dirs[] = {"/usr/lib/NetworkManager/conf.d", "/etc/NetworkManager/conf.d",
		"/etc/NetworkManager/system-connections"};
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	bool automatic = true, profile = false;

	if (!fit_enabled(n->f, "NetworkManager.service"))
		return false;
	if (fit_read(n->f, "/etc/NetworkManager/NetworkManager.conf", &text))
		automatic = !strstr(buf_str(&text), "\nno-auto-default=*");
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct fit_paths paths;

		fit_list(n->f, dirs[i], i == 2 ? "" : ".conf", &paths);
		for (size_t k = 0; k < paths.nr; k++) {
			if (!fit_read(n->f, paths.items[k], &text))
				continue;
			automatic &= !strstr(buf_str(&text), "no-auto-default=*");
			profile |= i == 2 && strstr(buf_str(&text), "method=auto");
		}
		fit_paths_release(&paths);
	}
	return automatic || profile;
}

/* "iface ens5 inet dhcp" */
static void read_interfaces(struct network *n, const char *path)
{
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	bool old_names = uses_old_names(n->f);

	if (!fit_read(n->f, path, &text) || !text.len)
		return;
	for (char *at = text.data, *line; (line = fit_line(&at));) {
		char name[64], family[16], method[16];

		if (sscanf(line, "iface %63s %15s %15s", name, family, method) != 3 ||
			strcmp(family, "inet") || strcmp(method, "dhcp"))
			continue;
		if (!fits(name, old_names ? old : predictable) && !fits(name, old))
			continue;
		n->by_old_name = !fits(name, old_names ? old : predictable);
		if (!n->where)
			n->where = buf_strf(n->f->err, "%s", path);
		n->f->failed |= !n->where;
		if (settled(n))
			return;
	}
}

static bool by_ifupdown(struct network *n)
{
	static const char main_file[] = "/etc/network/interfaces";
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct fit_paths paths;

	if (!fit_enabled(n->f, "networking.service") || !fit_read(n->f, main_file, &text))
		return false;
	read_interfaces(n, main_file);
	if (settled(n) || !strstr(buf_str(&text), "interfaces.d"))
		return settled(n);
	fit_list(n->f, "/etc/network/interfaces.d", "", &paths);
	for (size_t i = 0; i < paths.nr && !settled(n); i++)
		read_interfaces(n, paths.items[i]);
	fit_paths_release(&paths);
	return settled(n);
}

/* netplan's generator starts the renderer itself. */
static bool by_netplan(struct network *n)
{
	static const char *const generators[] = {"/usr/lib/systemd/system-generators/netplan",
		"/lib/systemd/system-generators/netplan", NULL};
	CLEANUP_BUF struct buf text = BUF_INIT(0);
	struct fit_paths paths;
	bool found = false;

	if (!fit_first(n->f, generators) || !fit_unit_dir(n->f, "systemd-networkd.service"))
		return false;
	fit_list(n->f, "/etc/netplan", ".yaml", &paths);
	for (size_t i = 0; i < paths.nr; i++) {
		const char *t;

		if (!fit_read(n->f, paths.items[i], &text))
			continue;
		t = buf_str(&text);
		if (!strstr(t, "dhcp4: true") && !strstr(t, "dhcp4: yes"))
			continue;
		if (strstr(t, "eth0:") && !strstr(t, "match:") && !strstr(t, "ens5:") &&
			!uses_old_names(n->f)) {
			n->by_old_name = true;
			if (!n->where)
				n->where = buf_strf(n->f->err, "%s", paths.items[i]);
			n->f->failed |= !n->where;
		} else {
			found = true;
		}
	}
	fit_paths_release(&paths);
	return found;
}

/* cloud-init writes what a renderer reads, unless it is told to keep out of the network. */
static bool cloud_init_configures(struct fit *f)
{
	struct fit_paths paths;
	bool disabled = false;

	if (!f->cloud_init)
		return false;
	fit_list(f, "/etc/cloud/cloud.cfg.d", ".cfg", &paths);
	for (size_t i = 0; i < paths.nr; i++) {
		CLEANUP_BUF struct buf text = BUF_INIT(0);

		/* "network: {config: disabled}", on one line or two */
		if (fit_read(f, paths.items[i], &text) && text.len)
			for (char *at = text.data, *line; (line = fit_line(&at));)
				disabled |= strstr(line, "config: disabled") &&
					    (!strncmp(line, "config:", 7) || !strncmp(line, "network:", 8));
	}
	fit_paths_release(&paths);
	return !disabled;
}

static bool by_cloud_init(struct network *n)
{
	static const char *const netplan[] = {"/usr/sbin/netplan", "/usr/bin/netplan", NULL};
	struct fit *f = n->f;

	return cloud_init_configures(f) &&
	       (fit_enabled(f, "systemd-networkd.service") || fit_enabled(f, "NetworkManager.service") ||
		       fit_enabled(f, "networking.service") || fit_enabled(f, "network.service") ||
		       (fit_first(f, netplan) && fit_unit_dir(f, "systemd-networkd.service")));
}

static char *dhcp_cure(struct fit *f)
{
	static const char unit[] = "systemd-networkd.service";
	CLEANUP_FREE char *enable = NULL;

	if (!fit_unit_dir(f, unit))
		return fit_package_cure(f,
			f->distribution == FIT_UBUNTU ? (struct fit_package){"netplan.io", "systemd-networkd"} :
							(struct fit_package){"systemd", "systemd-networkd"});
	enable = fit_enable_cure(f, unit, "multi-user.target");
	if (!enable || cloud_init_configures(f))
		return steal_ptr(&enable);
	return buf_strf(f->err,
		"- write: {path: /etc/systemd/network/80-ec2.network, content: "
		"\"[Match]\\nType=ether\\nKind=!*\\n\\n[Network]\\nDHCP=yes\\n\"}\n%s", enable);
}

void fit_check_network(struct fit *f)
{
	struct network n = {.f = f};
	bool asks = by_cloud_init(&n) || by_networkd(&n) || by_network_manager(&n) || by_ifupdown(&n) ||
		    by_netplan(&n) || fit_enabled(f, "dhcpcd.service") ||
		    fit_enabled(f, "connman.service");

	if (!asks && n.where)
		fit_add(f, FITNESS_WARNING, "interface-name",
			buf_strf(f->err, "'%s' has DHCP for eth0 alone, but Nitro instances call it ens5", n.where),
			f->in->cmdline ?
				buf_strf(f->err, "boot: {cmdline: \"%s%snet.ifnames=0\"}", f->in->cmdline,
					f->in->cmdline[0] ? " " : "") :
				buf_strf(f->err, "add net.ifnames=0 to the kernel's command line"));
	else if (!asks)
		fit_add(f, FITNESS_WARNING, "dhcp",
			buf_strf(f->err, "nothing asks for an address on the first interface: neither "
					 "systemd-networkd, NetworkManager, ifupdown, netplan nor dhcpcd is "
					 "enabled with a configuration for it"),
			dhcp_cure(f));
	free(n.where);
}
