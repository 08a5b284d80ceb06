/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EC2 would refuse in a registration, found before any call. Only combinations that can never
 * be right are refused; numeric limits have moved over the years and are the service's to judge.
 */
#include "uploader/ec2.h"

#include <string.h>

#include "base/num.h"

enum { UEFI_DATA_MAX = 64000 };

static int bad(struct error *err, const struct ec2_mapping *m, const char *what)
{
	return error_set(err, ERROR_USAGE, 0, "device '%s': %s", m->device, what);
}

static bool is_one_of(const char *text, const char *const *list)
{
	for (; *list; list++) {
		if (strcmp(text, *list) == 0)
			return true;
	}
	return false;
}

/*
 * What a type has never taken, in the years that its upper limits went up. 0: no limit of that kind
 * is known. Source: Amazon EBS User Guide, "Amazon EBS volume types".
 */
static const struct {
	const char *type;
	uint64_t min_gib, max_gib;
	uint32_t min_iops, min_throughput;
} limits[] = {
	{"gp3", 1, 0, 3000, 125},
	{"gp2", 1, 16384, 0, 0},
	{"io1", 4, 16384, 100, 0},
	{"io2", 4, 0, 100, 0},
	{"st1", 125, 16384, 0, 0},
	{"sc1", 125, 16384, 0, 0},
	{"standard", 1, 1024, 0, 0},
};

static int check_limits(const struct ec2_mapping *m, const char *type, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (strcmp(limits[i].type, type) != 0)
			continue;
		if (m->size_gib && (m->size_gib < limits[i].min_gib ||
					   (limits[i].max_gib && m->size_gib > limits[i].max_gib)))
			return error_set(err, ERROR_USAGE, 0,
				"device '%s': %llu GiB are out of what volume type %s takes: %llu GiB %s",
				m->device, (unsigned long long)m->size_gib, type,
				(unsigned long long)(m->size_gib < limits[i].min_gib ? limits[i].min_gib :
										       limits[i].max_gib),
				m->size_gib < limits[i].min_gib ? "at least" : "at most");
		if (m->iops && m->iops < limits[i].min_iops)
			return error_set(err, ERROR_USAGE, 0,
				"device '%s': volume type %s has at least %u IOPS", m->device, type,
				limits[i].min_iops);
		if (m->throughput && m->throughput < limits[i].min_throughput)
			return error_set(err, ERROR_USAGE, 0,
				"device '%s': volume type %s has at least %u MiB/s", m->device, type,
				limits[i].min_throughput);
	}
	/* A gp3 without iops has 3000. */
	if (m->throughput > (m->iops ? m->iops : 3000) / 4)
		return error_set(err, ERROR_USAGE, 0,
			"device '%s': %u MiB/s need at least %u IOPS", m->device, m->throughput,
			m->throughput * 4);
	return 0;
}

static int check_volume(const struct ec2_mapping *m, struct error *err)
{
	static const char *const types[] = {"standard", "io1", "io2", "gp2", "gp3", "sc1", "st1", NULL};
	static const char *const with_iops[] = {"io1", "io2", "gp3", NULL};
	const char *type = m->type[0] ? m->type : "gp2";

	if (!m->snapshot[0] && m->size_gib == 0)
		return bad(err, m, "a volume needs a snapshot or a size");
	if (!is_one_of(type, types))
		return error_set(err, ERROR_USAGE, 0,
			"device '%s': '%s' is not a volume type: use gp3, gp2, io1, io2, st1, sc1 or "
			"standard",
			m->device, m->type);
	if (m->iops && !is_one_of(type, with_iops))
		return error_set(err, ERROR_USAGE, 0,
			"device '%s': iops cannot be set for volume type %s: use gp3, io1 or io2",
			m->device, type);
	if (!m->iops && strncmp(type, "io", 2) == 0)
		return error_set(err, ERROR_USAGE, 0, "device '%s': volume type %s needs iops",
			m->device, type);
	if (m->throughput && strcmp(type, "gp3") != 0)
		return error_set(err, ERROR_USAGE, 0,
			"device '%s': throughput cannot be set for volume type %s: use gp3", m->device,
			type);
	if (m->snapshot[0] && m->encrypted >= 0)
		return bad(err, m,
			"encryption cannot be set for a volume made from a snapshot: it takes the "
			"snapshot's");
	return check_limits(m, type, err);
}

static int check_ephemeral(const struct ec2_mapping *m, struct error *err)
{
	uint64_t number;

	if (strncmp(m->virtual_name, "ephemeral", 9) != 0 ||
	    num_parse(m->virtual_name + 9, 23, &number, NULL) < 0)
		return error_set(err, ERROR_USAGE, 0,
			"device '%s': '%s' is not an instance-store volume: use ephemeral0 to "
			"ephemeral23",
			m->device, m->virtual_name);
	return 0;
}

static int check_mapping(const struct ec2_mapping *m, struct error *err)
{
	int kinds = m->ebs + (m->virtual_name[0] != '\0') + m->no_device;

	if (!m->device[0])
		return error_set(err, ERROR_USAGE, 0, "a block device mapping has no device name");
	if (kinds != 1)
		return bad(err, m, "it must be exactly one of EBS volume, instance-store volume and none");
	if (m->ebs)
		return check_volume(m, err);
	return m->virtual_name[0] ? check_ephemeral(m, err) : 0;
}

static int check_mappings(const struct ec2_image_opts *o, struct error *err)
{
	const struct ec2_mapping *root = NULL;

	for (size_t i = 0; i < o->nr_mappings; i++) {
		const struct ec2_mapping *m = &o->mappings[i];

		if (check_mapping(m, err) < 0)
			return -1;
		for (size_t k = 0; k < i; k++) {
			if (strcmp(o->mappings[k].device, m->device) == 0)
				return bad(err, m, "it is mapped twice");
		}
		if (o->root_device && strcmp(m->device, o->root_device) == 0)
			root = m;
	}
	/* The root of a bundle is in S3, and a bundle's manifest has a mapping too. */
	if (o->location)
		return 0;
	if (!root)
		return error_set(err, ERROR_USAGE, 0,
			"root device '%s' is not in the block device mapping", o->root_device);
	if (!root->ebs || !root->snapshot[0])
		return bad(err, root, "the root device needs a snapshot");
	if (strcmp(root->type, "st1") == 0 || strcmp(root->type, "sc1") == 0)
		return error_set(err, ERROR_USAGE, 0,
			"device '%s': an instance cannot boot from volume type %s", root->device,
			root->type);
	return 0;
}

static int check_name(const char *name, struct error *err)
{
	size_t len = name ? strlen(name) : 0;

	if (len < 3 || len > 128)
		return error_set(err, ERROR_USAGE, 0,
			"AMI name '%s' has %zu characters: EC2 takes 3 to 128", name ? name : "", len);
	for (const char *p = name; *p; p++) {
		bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			      (*p >= '0' && *p <= '9');

		if (!letter && !strchr("()[] ./-'@_", *p))
			return error_set(err, ERROR_USAGE, 0,
				"AMI name '%s' contains a character that EC2 refuses: use letters, "
				"digits, spaces and ( ) [ ] . / - ' @ _",
				name);
	}
	return 0;
}

static int check_location(const char *location, struct error *err)
{
	static const char suffix[] = ".manifest.xml";
	size_t len = strlen(location), tail = sizeof(suffix) - 1;

	if (location[0] != '/' && strchr(location, '/') && !strstr(location, "://") && len > tail &&
	    strcmp(location + len - tail, suffix) == 0)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"bundle '%s' is not of the form BUCKET/PATH/NAME.manifest.xml", location);
}

/* The parts of a boot fit each other. */
static int check_boot(const struct ec2_image_opts *o, struct error *err)
{
	static const char *const modes[] = {"legacy-bios", "uefi", "uefi-preferred", NULL};
	bool bios = o->boot_mode && strcmp(o->boot_mode, "legacy-bios") == 0;

	if (o->boot_mode && !is_one_of(o->boot_mode, modes))
		return error_set(err, ERROR_USAGE, 0,
			"boot mode '%s' is not legacy-bios, uefi or uefi-preferred", o->boot_mode);
	if (bios && strcmp(o->architecture, "arm64") == 0)
		return error_set(err, ERROR_USAGE, 0, "arm64 does not boot with legacy-bios: use uefi");
	if (o->tpm && (strcmp(o->tpm, "v2.0") != 0 || !o->boot_mode || strcmp(o->boot_mode, "uefi") != 0))
		return error_set(err, ERROR_USAGE, 0, "a TPM must be v2.0 and needs boot mode uefi");
	if (o->uefi_data && bios)
		return error_set(err, ERROR_USAGE, 0,
			"boot mode legacy-bios has no UEFI variables: use uefi or uefi-preferred");
	if (o->uefi_data && strlen(o->uefi_data) > UEFI_DATA_MAX)
		return error_set(err, ERROR_USAGE, 0,
			"the UEFI variables are %zu characters of base64: EC2 takes %d",
			strlen(o->uefi_data), UEFI_DATA_MAX);
	return 0;
}

/* What an instance whose root is in S3 cannot have: the types that start one are all of before UEFI. */
static int check_bundle(const struct ec2_image_opts *o, struct error *err)
{
	if (check_location(o->location, err) < 0)
		return -1;
	if ((o->boot_mode && strcmp(o->boot_mode, "legacy-bios") != 0) || o->tpm || o->uefi_data)
		return error_set(err, ERROR_USAGE, 0,
			"UEFI and a TPM need an EBS-backed AMI: instance types that start from a bundle "
			"(C3, D2, G2, I2, M3, R3) have a BIOS only");
	for (size_t i = 0; i < o->nr_mappings; i++) {
		if (o->root_device && strcmp(o->mappings[i].device, o->root_device) == 0)
			return bad(err, &o->mappings[i], "it is the root device, and the root is in the bundle");
	}
	if (o->virtualization && strcmp(o->virtualization, "paravirtual") == 0 && (o->ena || o->sriov))
		return error_set(err, ERROR_USAGE, 0, "enhanced networking needs virtualization hvm");
	return 0;
}

int ec2_check_image(const struct ec2_image_opts *o, struct error *err)
{
	static const char *const machines[] = {"x86_64", "arm64", "i386", NULL};

	if (check_name(o->name, err) < 0)
		return -1;
	if (o->description && strlen(o->description) > 255)
		return error_set(err, ERROR_USAGE, 0, "the AMI's description has over 255 characters");
	if (!o->architecture || !is_one_of(o->architecture, machines))
		return error_set(err, ERROR_USAGE, 0, "architecture '%s' is not x86_64, arm64 or i386",
			o->architecture ? o->architecture : "");
	if (!o->location && (!o->root_device || !o->root_device[0]))
		return error_set(err, ERROR_USAGE, 0, "the AMI has no root device");
	if (check_boot(o, err) < 0 || (o->location && check_bundle(o, err) < 0))
		return -1;
	if (!o->location && o->virtualization && strcmp(o->virtualization, "hvm") != 0)
		return error_set(err, ERROR_USAGE, 0,
			"virtualization '%s' is for bundles only: AMIs from snapshots are hvm", o->virtualization);
	if (o->imds && strcmp(o->imds, "v2.0") != 0)
		return error_set(err, ERROR_USAGE, 0, "instance metadata '%s' is not v2.0", o->imds);
	return check_mappings(o, err);
}
