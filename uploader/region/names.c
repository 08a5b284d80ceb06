/* SPDX-License-Identifier: Apache-2.0 */
/* One table: name, partition, and whether it is on without being asked for (opened before 2019). */
#include "uploader/region/names.h"

#include <string.h>

#include "base/num.h"

static const struct {
	const char *name, *partition;
	bool opt_in;
} names[] = {
	{"af-south-1", "aws", true},
	{"ap-east-1", "aws", true},
	{"ap-east-2", "aws", true},
	{"ap-northeast-1", "aws", false},
	{"ap-northeast-2", "aws", false},
	{"ap-northeast-3", "aws", false},
	{"ap-south-1", "aws", false},
	{"ap-south-2", "aws", true},
	{"ap-southeast-1", "aws", false},
	{"ap-southeast-2", "aws", false},
	{"ap-southeast-3", "aws", true},
	{"ap-southeast-4", "aws", true},
	{"ap-southeast-5", "aws", true},
	{"ap-southeast-6", "aws", true},
	{"ap-southeast-7", "aws", true},
	{"ca-central-1", "aws", false},
	{"ca-west-1", "aws", true},
	{"eu-central-1", "aws", false},
	{"eu-central-2", "aws", true},
	{"eu-north-1", "aws", false},
	{"eu-south-1", "aws", true},
	{"eu-south-2", "aws", true},
	{"eu-west-1", "aws", false},
	{"eu-west-2", "aws", false},
	{"eu-west-3", "aws", false},
	{"il-central-1", "aws", true},
	{"me-central-1", "aws", true},
	{"me-south-1", "aws", true},
	{"mx-central-1", "aws", true},
	{"sa-east-1", "aws", false},
	{"us-east-1", "aws", false},
	{"us-east-2", "aws", false},
	{"us-west-1", "aws", false},
	{"us-west-2", "aws", false},
	{"cn-north-1", "aws-cn", false},
	{"cn-northwest-1", "aws-cn", false},
	{"us-gov-east-1", "aws-us-gov", false},
	{"us-gov-west-1", "aws-us-gov", false},
	{"us-iso-east-1", "aws-iso", false},
	{"us-iso-west-1", "aws-iso", false},
	{"us-isob-east-1", "aws-iso-b", false},
	{"us-isob-west-1", "aws-iso-b", false},
	{"eu-isoe-west-1", "aws-iso-e", false},
	{"us-isof-east-1", "aws-iso-f", false},
	{"us-isof-south-1", "aws-iso-f", false},
	{"eusc-de-east-1", "aws-eusc", false},
};

static size_t find(const char *name)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(names) && strcmp(names[i].name, name) != 0)
		i++;
	return i;
}

bool region_name_known(const char *name)
{
	return find(name) < ARRAY_SIZE(names);
}

const char *region_name_partition(const char *name)
{
	size_t i = find(name);

	return i < ARRAY_SIZE(names) ? names[i].partition : "aws";
}

const char *region_name_at(size_t i)
{
	return i < ARRAY_SIZE(names) ? names[i].name : NULL;
}

bool region_name_opt_in(const char *name)
{
	size_t i = find(name);

	return i < ARRAY_SIZE(names) && names[i].opt_in;
}
