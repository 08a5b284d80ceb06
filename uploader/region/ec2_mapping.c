/* SPDX-License-Identifier: Apache-2.0 */
/* EC2: BlockDeviceMapping.N of RegisterImage, with the rules of each volume type. */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

/* Limits move upwards over the years; these are the present ones. */
static const struct volume_type {
	const char *name;
	uint64_t min_gib, max_gib;
	uint64_t min_iops, max_iops; /* 0: Iops is refused */
	bool needs_iops, bootable;
} volume_types[] = {
	{"standard", 1, 1024, 0, 0, false, true},
	{"gp2", 1, 16384, 0, 0, false, true},
	{"gp3", 1, 65536, 3000, 80000, false, true},
	{"io1", 4, 16384, 100, 64000, true, true},
	{"io2", 4, 65536, 100, 256000, true, true},
	{"st1", 125, 16384, 0, 0, false, false},
	{"sc1", 125, 16384, 0, 0, false, false},
};

/* Ebs of one mapping. */
struct volume {
	const struct volume_type *type;
	const char *snapshot_id; /* NULL: an empty volume */
	uint64_t size, iops, throughput; /* 0: not given */
	bool encrypted, delete_on_termination;
};

/* The name "BlockDeviceMapping.<n>.<field>" into out. */
enum { FIELD_SIZE = 80, DEVICE_NAME_MAX = 255 };
static const char *field(unsigned n, const char *name, char out[FIELD_SIZE])
{
	(void)snprintf(out, FIELD_SIZE, "BlockDeviceMapping.%u.%s", n, name);
	return out;
}

static bool get_type(struct ec2_ctx *c, unsigned n, struct volume *v)
{
	char name[FIELD_SIZE];
	const char *text = form_get(&c->form, field(n, "Ebs.VolumeType", name));

	if (!text)
		text = "gp2";
	for (size_t i = 0; i < ARRAY_SIZE(volume_types); i++)
		if (strcmp(text, volume_types[i].name) == 0)
			v->type = &volume_types[i];
	if (v->type)
		return false;
	return ec2_refuse(c, "InvalidParameterValue",
		"Value (%.40s) for parameter volumeType is invalid.", text);
}

static bool check_performance(struct ec2_ctx *c, const struct volume *v)
{
	const struct volume_type *type = v->type;

	if (v->iops && !type->max_iops)
		return ec2_refuse(c, "InvalidParameterCombination",
			"The parameter iops is not supported for %s volumes.", type->name);
	if (!v->iops && type->needs_iops)
		return ec2_refuse(c, "MissingParameter",
			"The parameter iops must be specified for %s volumes.", type->name);
	if (v->iops && (v->iops < type->min_iops || v->iops > type->max_iops))
		return ec2_refuse(c, "InvalidParameterValue",
			"Volume iops of %llu is not from %llu to %llu as %s volumes have it.",
			(unsigned long long)v->iops, (unsigned long long)type->min_iops,
			(unsigned long long)type->max_iops, type->name);
	if (v->throughput && strcmp(type->name, "gp3") != 0)
		return ec2_refuse(c, "InvalidParameterCombination",
			"The parameter throughput is not supported for %s volumes.", type->name);
	if (v->throughput && (v->throughput < 125 || v->throughput > 2000))
		return ec2_refuse(c, "InvalidParameterValue",
			"Throughput of %llu MiB/s is not from 125 to 2000.",
			(unsigned long long)v->throughput);
	return false;
}

/* Looks the snapshot up, settles it, and makes its size and encryption the volume's. */
static bool check_snapshot(struct ec2_ctx *c, struct volume *v)
{
	struct error err = ERROR_INIT;
	struct snapshot *snap;

	if (ec2_check_id(c, "snap-", "InvalidSnapshotID.Malformed", v->snapshot_id))
		return true;
	snap = store_find_snapshot(c->store, v->snapshot_id);
	if (!snap || !access_snapshot(snap, c->account))
		return ec2_refuse(c, "InvalidSnapshotID.NotFound",
			"The snapshot ID '%s' does not exist", v->snapshot_id);
	if (!access_owns_snapshot(snap, c->account))
		return ec2_refuse(c, "InvalidParameterValue",
			"Invalid value '%s' for snapshotId. Snapshot does not belong to %s",
			v->snapshot_id, c->account);
	if (snapshot_settle(snap, region_now(c->region), region_monotonic_ms(), &err) < 0)
		return ec2_internal(c, &err);
	if (atomic_load(&snap->status) != SNAPSHOT_COMPLETED)
		return ec2_refuse(c, "IncorrectState",
			"The snapshot '%s' is not completed; its status is '%s'", v->snapshot_id,
			snapshot_status_name((enum snapshot_status)atomic_load(&snap->status)));
	if (v->size && v->size < snap->size_gib)
		return ec2_refuse(c, "InvalidBlockDeviceMapping",
			"Volume of size %lluGB is smaller than snapshot '%s', expect size >= %lluGB",
			(unsigned long long)v->size, v->snapshot_id,
			(unsigned long long)snap->size_gib);
	if (!v->size)
		v->size = snap->size_gib;
	v->encrypted = json_get_bool(snap->doc, "encrypted", false);
	return false;
}

static bool check_size(struct ec2_ctx *c, const struct volume *v)
{
	if (v->size >= v->type->min_gib && v->size <= v->type->max_gib)
		return false;
	return ec2_refuse(c, "InvalidParameterValue",
		"Volume of %lluGiB is not from %lluGiB to %lluGiB as %s volumes have it.",
		(unsigned long long)v->size, (unsigned long long)v->type->min_gib,
		(unsigned long long)v->type->max_gib, v->type->name);
}

static bool get_volume(struct ec2_ctx *c, unsigned n, struct volume *v)
{
	char name[FIELD_SIZE];
	bool has_flag;

	*v = (struct volume){.delete_on_termination = true};
	v->snapshot_id = form_get(&c->form, field(n, "Ebs.SnapshotId", name));
	has_flag = form_get(&c->form, field(n, "Ebs.Encrypted", name)) != NULL;
	if (ec2_get_bool(c, field(n, "Ebs.Encrypted", name), &v->encrypted) ||
	    ec2_get_bool(c, field(n, "Ebs.DeleteOnTermination", name), &v->delete_on_termination) ||
	    ec2_get_number(c, field(n, "Ebs.VolumeSize", name), &v->size) ||
	    ec2_get_number(c, field(n, "Ebs.Iops", name), &v->iops) ||
	    ec2_get_number(c, field(n, "Ebs.Throughput", name), &v->throughput) ||
	    get_type(c, n, v))
		return true;
	if (!v->snapshot_id && !v->size)
		return ec2_refuse(c, "MissingParameter",
			"The request must contain the parameter size or snapshotId");
	if (v->snapshot_id && has_flag)
		return ec2_refuse(c, "InvalidParameter",
			"Parameter encrypted is invalid. You cannot specify the encrypted flag if "
			"specifying a snapshot id in a block device mapping.");
	return (v->snapshot_id && check_snapshot(c, v)) || check_size(c, v) ||
	       check_performance(c, v);
}

static int volume_json(struct json *mapping, const struct volume *v, struct error *err)
{
	CLEANUP(json_cleanup) struct json *ebs = json_new_object(err);

	if (!ebs ||
	    (v->snapshot_id && json_set_str(ebs, "snapshotId", v->snapshot_id, err) < 0) ||
	    json_set_int(ebs, "volumeSize", (int64_t)v->size, err) < 0 ||
	    json_set_str(ebs, "volumeType", v->type->name, err) < 0 ||
	    (v->iops && json_set_int(ebs, "iops", (int64_t)v->iops, err) < 0) ||
	    (v->throughput && json_set_int(ebs, "throughput", (int64_t)v->throughput, err) < 0) ||
	    json_set_bool(ebs, "encrypted", v->encrypted, err) < 0 ||
	    json_set_bool(ebs, "deleteOnTermination", v->delete_on_termination, err) < 0)
		return -1;
	return json_set(mapping, "ebs", steal_ptr(&ebs), err);
}

static bool add_volume(struct ec2_ctx *c, unsigned n, const char *device, const char *root_device,
	struct json *mapping)
{
	struct error err = ERROR_INIT;
	struct volume v;
	bool root;

	if (get_volume(c, n, &v))
		return true;
	root = root_device && strcmp(device, root_device) == 0;
	if (root && !v.snapshot_id)
		return ec2_refuse(c, "InvalidBlockDeviceMapping",
			"No root snapshot specified in device mapping.");
	if (root && !v.type->bootable)
		return ec2_refuse(c, "BootForVolumeTypeUnsupported",
			"Booting from a %s volume is not supported.", v.type->name);
	return volume_json(mapping, &v, &err) < 0 && ec2_internal(c, &err);
}

/* "ephemeral0" … "ephemeral23". */
static bool check_virtual_name(struct ec2_ctx *c, const char *name)
{
	uint64_t number;

	if (strncmp(name, "ephemeral", 9) == 0 && num_parse(name + 9, 23, &number, NULL) == 0)
		return false;
	return ec2_refuse(c, "InvalidParameterValue",
		"Value (%.40s) for parameter virtualName is invalid.", name);
}

/* One mapping: exactly one of Ebs, VirtualName, NoDevice. */
static bool get_mapping(struct ec2_ctx *c, unsigned n, const char *root_device,
	struct json *mapping)
{
	char name[FIELD_SIZE];
	const char *device = form_get(&c->form, field(n, "DeviceName", name));
	const char *virtual_name = form_get(&c->form, field(n, "VirtualName", name));
	bool no_device = form_get(&c->form, field(n, "NoDevice", name)) != NULL;
	bool ebs = form_has_prefix(&c->form, field(n, "Ebs.", name));
	struct error err = ERROR_INIT;

	if (!device || !*device)
		return ec2_refuse(c, "MissingParameter",
			"The request must contain the parameter deviceName");
	if (strlen(device) > DEVICE_NAME_MAX)
		return ec2_refuse(c, "InvalidBlockDeviceMapping", "Invalid device name %.60s…", device);
	if (ebs + no_device + (virtual_name != NULL) != 1)
		return ec2_refuse(c, "InvalidBlockDeviceMapping",
			"The mapping of '%.60s' must have one of ebs, virtualName and noDevice", device);
	if (json_set_str(mapping, "deviceName", device, &err) < 0 ||
	    (no_device && json_set_bool(mapping, "noDevice", true, &err) < 0) ||
	    (virtual_name && json_set_str(mapping, "virtualName", virtual_name, &err) < 0))
		return ec2_internal(c, &err);
	if (virtual_name)
		return check_virtual_name(c, virtual_name);
	return ebs && add_volume(c, n, device, root_device, mapping);
}

static bool is_mapped(const struct json *list, const char *device)
{
	for (size_t i = 0; i < json_length(list); i++)
		if (strcmp(json_get_str(json_at(list, i), "deviceName", ""), device) == 0)
			return true;
	return false;
}

bool ec2_get_mappings(struct ec2_ctx *c, const char *root_device, struct json **mappings)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *list = json_new_array(&err);
	char name[FIELD_SIZE];

	if (!list)
		return ec2_internal(c, &err);
	for (unsigned n = 1; form_has_prefix(&c->form, field(n, "", name)); n++) {
		CLEANUP(json_cleanup) struct json *one = json_new_object(&err);
		const char *device;

		if (!one)
			return ec2_internal(c, &err);
		if (get_mapping(c, n, root_device, one))
			return true;
		device = json_get_str(one, "deviceName", "");
		if (is_mapped(list, device))
			return ec2_refuse(c, "InvalidBlockDeviceMapping",
				"The device '%.60s' is used in more than one block-device mapping",
				device);
		if (json_append(list, steal_ptr(&one), &err) < 0)
			return ec2_internal(c, &err);
	}
	if (root_device && !is_mapped(list, root_device))
		return ec2_refuse(c, "InvalidBlockDeviceMapping",
			"No root snapshot specified in device mapping.");
	*mappings = steal_ptr(&list);
	return false;
}
