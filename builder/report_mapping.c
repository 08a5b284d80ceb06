/* SPDX-License-Identifier: Apache-2.0 */
/* Block device mappings as JSON and as text. */
#include "builder/report.h"

static int set_ebs(struct json *out, const struct ec2_mapping *m, struct error *err)
{
	CLEANUP(json_cleanup) struct json *ebs = json_new_object(err);

	if (!ebs || (m->snapshot[0] && json_set_str(ebs, "snapshot", m->snapshot, err) < 0) ||
		(m->size_gib && json_set_int(ebs, "size_gib", (int64_t)m->size_gib, err) < 0) ||
		(m->type[0] && json_set_str(ebs, "type", m->type, err) < 0) ||
		(m->iops && json_set_int(ebs, "iops", m->iops, err) < 0) ||
		(m->throughput && json_set_int(ebs, "throughput", m->throughput, err) < 0) ||
		(m->encrypted >= 0 && json_set_bool(ebs, "encrypted", m->encrypted, err) < 0) ||
		(m->delete_on_termination >= 0 &&
			json_set_bool(ebs, "delete_on_termination", m->delete_on_termination, err) < 0))
		return -1;
	return json_set(out, "ebs", steal_ptr(&ebs), err);
}

static struct json *entry_json(const struct ec2_mapping *m, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err);

	if (!out || json_set_str(out, "device", m->device, err) < 0)
		return NULL;
	if (m->ebs ? set_ebs(out, m, err) < 0 :
	    m->no_device ?
		     json_set_bool(out, "no_device", true, err) < 0 :
		     json_set_str(out, "virtual_name", m->virtual_name, err) < 0)
		return NULL;
	return steal_ptr(&out);
}

struct json *report_mapping_json(const struct ec2_mapping *m, size_t nr, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_array(err);

	for (size_t i = 0; out && i < nr; i++)
		if (json_append(out, entry_json(&m[i], err), err) < 0)
			return NULL;
	return steal_ptr(&out);
}

static int add_ebs(struct buf *out, const struct ec2_mapping *m, struct error *err)
{
	if (buf_addf(out, err, "%-24s", m->snapshot[0] ? m->snapshot : "(empty)") < 0 ||
		(m->size_gib && buf_addf(out, err, " %llu GiB", (unsigned long long)m->size_gib) < 0) ||
		(m->type[0] && buf_addf(out, err, " %s", m->type) < 0) ||
		(m->iops && buf_addf(out, err, " %u IOPS", m->iops) < 0) ||
		(m->throughput && buf_addf(out, err, " %u MiB/s", m->throughput) < 0) ||
		(m->encrypted > 0 && buf_add_str(out, " encrypted", err) < 0))
		return -1;
	return m->delete_on_termination ? 0 : buf_add_str(out, " kept on termination", err);
}

int report_mapping_text(const struct ec2_mapping *m, size_t nr, struct buf *out, struct error *err)
{
	for (size_t i = 0; i < nr; i++) {
		int ret;

		if (buf_addf(out, err, "  %-12s ", m[i].device) < 0)
			return -1;
		if (m[i].ebs)
			ret = add_ebs(out, &m[i], err);
		else
			ret = buf_add_str(out, m[i].no_device ? "no device" : m[i].virtual_name, err);
		if (ret < 0 || buf_add_char(out, '\n', err) < 0)
			return -1;
	}
	return 0;
}
