/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EC2 calls: bodies on the wire, XML back, the recovery of a lost RegisterImage, and the rules
 * of block device mappings.
 */
#include "uploader/ec2.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"
#include "tests/lib/awsclient.h"
#include "tests/lib/httpd.h"

#define SNAP "snap-0123456789abcdef0"
#define XMLNS " xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\""
#define REGISTERED                                                                                 \
	"<RegisterImageResponse" XMLNS "><requestId>r</requestId><imageId>ami-1</imageId>"         \
	"</RegisterImageResponse>"
#define IMAGES(root, next)                                                                         \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?><DescribeImagesResponse" XMLNS "><imagesSet>"   \
	"<item><imageId>ami-9</imageId><name>my image</name><imageState>available</imageState>"    \
	"<isPublic>false</isPublic><enaSupport>true</enaSupport><newThing><x>y</x></newThing>"     \
	"<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><snapshotId>" root       \
	"</snapshotId><volumeSize>8</volumeSize><volumeType>gp3</volumeType><iops>3000</iops>"     \
	"<deleteOnTermination>true</deleteOnTermination></ebs></item><item><deviceName>/dev/sdb"   \
	"</deviceName><virtualName>ephemeral0</virtualName></item></blockDeviceMapping>"           \
	"<tagSet><item><key>k</key><value>a&amp;b</value></item></tagSet></item></imagesSet>" next \
	"</DescribeImagesResponse>"

struct step {
	const char *action; /* what is expected */
	const char *status; /* NULL: closed without an answer */
	const char *body;
};

struct fixture {
	struct httpd *server;
	struct test_clock clock;
	struct aws *aws;
	const struct step *steps;
	unsigned nr, seen;
	char bodies[8][3000];
	char mismatch[200];
};

static enum httpd_act play(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	struct fixture *f = arg;
	const struct step *step = &f->steps[MIN(req->number, f->nr) - 1];
	char want[100];

	f->seen = req->number;
	if (req->number <= ARRAY_SIZE(f->bodies))
		snprintf(f->bodies[req->number - 1], sizeof(f->bodies[0]), "%.*s", (int)req->body_len,
			req->body);
	snprintf(want, sizeof(want), "Action=%s&Version=2016-11-15", step->action);
	if (strncmp(req->body, want, strlen(want)) != 0 ||
	    strcmp(req->line, "POST / HTTP/1.1") != 0 ||
	    !httpd_has(req, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8"))
		snprintf(f->mismatch, sizeof(f->mismatch), "%u: %.100s, not %s", req->number, req->body,
			want);
	if (!step->status)
		return HTTPD_CLOSE;
	*len = httpd_answer(reply, size, step->status, "", step->body);
	return HTTPD_SEND;
}

static void start(struct fixture *f, const struct step *steps, unsigned nr)
{
	log_set_fd(-1);
	memset(f, 0, sizeof(*f));
	f->steps = steps;
	f->nr = nr;
	f->server = httpd_start(play, f);
	f->aws = test_client(httpd_url(f->server), &f->clock);
	assert_non_null(f->aws);
}

static void stop(struct fixture *f)
{
	aws_free(f->aws);
	httpd_stop(f->server);
	if (f->mismatch[0])
		fail_msg("%s", f->mismatch);
}

static struct ec2_mapping root_mapping(void)
{
	return (struct ec2_mapping){.device = "/dev/xvda", .ebs = true, .snapshot = SNAP,
		.type = "gp3", .encrypted = -1, .delete_on_termination = 1};
}

static struct ec2_image_opts image_opts(const struct ec2_mapping *mappings, size_t nr)
{
	return (struct ec2_image_opts){.name = "my image", .architecture = "x86_64",
		.root_device = "/dev/xvda", .ena = true, .mappings = mappings, .nr_mappings = nr};
}

static void test_register(void **state)
{
	const struct step steps[] = {{"RegisterImage", "200 OK", REGISTERED}};
	struct ec2_mapping maps[] = {root_mapping(),
		{.device = "/dev/sdb", .virtual_name = "ephemeral0", .encrypted = -1},
		{.device = "/dev/sdc", .no_device = true, .encrypted = -1},
		{.device = "/dev/sdd", .ebs = true, .size_gib = 9, .type = "gp3", .iops = 4000,
			.throughput = 200, .encrypted = 1, .delete_on_termination = 0}};
	struct aws_tag tag = {"Name", "\xc3\xa9 *"};
	struct ec2_image_opts o = image_opts(maps, 4);
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE];
	struct fixture f;

	(void)state;
	o.boot_mode = "uefi-preferred";
	o.imds = "v2.0";
	o.tags = &tag;
	o.nr_tags = 1;
	start(&f, steps, 1);
	if (ec2_register_image(f.aws, &o, id, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(id, "ami-1");
	assert_string_equal(f.bodies[0],
		"Action=RegisterImage&Version=2016-11-15&Name=my%20image&Architecture=x86_64"
		"&VirtualizationType=hvm&RootDeviceName=%2Fdev%2Fxvda&EnaSupport=true"
		"&BootMode=uefi-preferred&ImdsSupport=v2.0"
		"&BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda"
		"&BlockDeviceMapping.1.Ebs.SnapshotId=" SNAP
		"&BlockDeviceMapping.1.Ebs.VolumeType=gp3"
		"&BlockDeviceMapping.1.Ebs.DeleteOnTermination=true"
		"&BlockDeviceMapping.2.DeviceName=%2Fdev%2Fsdb"
		"&BlockDeviceMapping.2.VirtualName=ephemeral0"
		"&BlockDeviceMapping.3.DeviceName=%2Fdev%2Fsdc&BlockDeviceMapping.3.NoDevice="
		"&BlockDeviceMapping.4.DeviceName=%2Fdev%2Fsdd&BlockDeviceMapping.4.Ebs.VolumeSize=9"
		"&BlockDeviceMapping.4.Ebs.VolumeType=gp3&BlockDeviceMapping.4.Ebs.Iops=4000"
		"&BlockDeviceMapping.4.Ebs.Throughput=200&BlockDeviceMapping.4.Ebs.Encrypted=true"
		"&BlockDeviceMapping.4.Ebs.DeleteOnTermination=false"
		"&TagSpecification.1.ResourceType=image&TagSpecification.1.Tag.1.Key=Name"
		"&TagSpecification.1.Tag.1.Value=%C3%A9%20%2A");
	stop(&f);
}

/* A bundle in S3, with all that has no place in the other. */
static void test_register_bundle(void **state)
{
	const struct step steps[] = {{"RegisterImage", "200 OK", REGISTERED}};
	const char *const products[] = {"bp-1", "bp-2"};
	struct ec2_image_opts o = {.name = "web", .architecture = "i386", .boot_mode = "legacy-bios",
		.location = "b/web.manifest.xml", .imds = "v2.0", .virtualization = "paravirtual",
		.billing_products = products, .nr_billing_products = 2};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE];
	struct fixture f;

	(void)state;
	start(&f, steps, 1);
	if (ec2_register_image(f.aws, &o, id, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(f.bodies[0],
		"Action=RegisterImage&Version=2016-11-15&Name=web&ImageLocation=b%2Fweb.manifest.xml"
		"&Architecture=i386&VirtualizationType=paravirtual&BootMode=legacy-bios"
		"&ImdsSupport=v2.0&BillingProduct.1=bp-1&BillingProduct.2=bp-2");
	stop(&f);
}

static int do_register(struct fixture *f, char id[EC2_ID_SIZE], struct error *err)
{
	struct ec2_mapping map = root_mapping();
	struct ec2_image_opts o = image_opts(&map, 1);

	return ec2_register_image(f->aws, &o, id, err);
}

/* The answer is lost, the image is there under its name with our snapshot. */
static void test_lost_answer(void **state)
{
	const struct step steps[] = {{"RegisterImage", NULL, NULL},
		{"DescribeImages", "200 OK", IMAGES(SNAP, "")}};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE];
	struct fixture f;

	(void)state;
	start(&f, steps, 2);
	if (do_register(&f, id, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(id, "ami-9");
	assert_int_equal(f.seen, 2);
	stop(&f);
}

/* Nothing was made: it is tried again. */
static void test_lost_request(void **state)
{
	const struct step steps[] = {{"RegisterImage", "500 Oops", "<x/>"},
		{"DescribeImages", "200 OK",
			"<DescribeImagesResponse" XMLNS "><imagesSet/></DescribeImagesResponse>"},
		{"RegisterImage", "200 OK", REGISTERED}};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE];
	struct fixture f;

	(void)state;
	start(&f, steps, 3);
	if (do_register(&f, id, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(id, "ami-1");
	stop(&f);
}

/* Somebody else's image has the name. */
static void test_other_image(void **state)
{
	const struct step steps[] = {{"RegisterImage", NULL, NULL},
		{"DescribeImages", "200 OK", IMAGES("snap-0fffffffffffffff0", "")}};
	const struct step duplicate[] = {{"RegisterImage", "400 Bad Request",
		"<Response><Errors><Error><Code>InvalidAMIName.Duplicate</Code><Message>AMI name my image "
		"is already in use by AMI ami-7</Message></Error></Errors></Response>"}};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE];
	struct fixture f;

	(void)state;
	start(&f, steps, 2);
	assert_int_equal(do_register(&f, id, &err), -1);
	assert_non_null(strstr(err.text, "already used by AMI ami-9"));
	stop(&f);
	start(&f, duplicate, 1);
	assert_int_equal(do_register(&f, id, &err), -1);
	assert_non_null(strstr(err.text, "ami-7"));
	assert_string_equal(err.code, "InvalidAMIName.Duplicate");
	assert_int_equal(f.seen, 1);
	stop(&f);
}

static void test_describe_images(void **state)
{
	const struct step steps[] = {
		{"DescribeImages", "200 OK", IMAGES(SNAP, "<nextToken>n+1</nextToken>")},
		{"DescribeImages", "200 OK", IMAGES("snap-2", "<nextToken/>")}};
	struct ec2_filter filters[] = {{"name", "my*"}, {"tag:k", "v"}};
	struct ec2_image_list list;
	struct error err = ERROR_INIT;
	struct fixture f;

	(void)state;
	start(&f, steps, 2);
	if (ec2_describe_images(f.aws, NULL, filters, 2, &list, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(f.bodies[0],
		"Action=DescribeImages&Version=2016-11-15&Owner.1=self&Filter.1.Name=name"
		"&Filter.1.Value.1=my%2A&Filter.2.Name=tag%3Ak&Filter.2.Value.1=v");
	assert_non_null(strstr(f.bodies[1], "&NextToken=n%2B1"));
	assert_int_equal(list.nr, 2);
	assert_string_equal(list.items[0].id, "ami-9");
	assert_true(list.items[0].ena);
	assert_int_equal(list.items[0].nr_mappings, 2);
	assert_string_equal(list.items[0].mappings[0].snapshot, SNAP);
	assert_int_equal(list.items[0].mappings[0].size_gib, 8);
	assert_int_equal(list.items[0].mappings[0].delete_on_termination, 1);
	assert_int_equal(list.items[0].mappings[0].encrypted, -1);
	assert_string_equal(list.items[0].mappings[1].virtual_name, "ephemeral0");
	assert_string_equal(list.items[0].tags.items[0].value, "a&b");
	assert_string_equal(list.items[1].mappings[0].snapshot, "snap-2");
	ec2_image_list_release(&list);
	stop(&f);
}

static void images_fail(const char *answer, const char *text)
{
	const struct step step = {"DescribeImages", "200 OK", answer};
	struct ec2_image_list list;
	struct error err = ERROR_INIT;
	struct fixture f;

	start(&f, &step, 1);
	assert_int_equal(ec2_describe_images(f.aws, NULL, NULL, 0, &list, &err), -1);
	if (!strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
	stop(&f);
}

static void test_strange_answers(void **state)
{
	(void)state;
	images_fail("<DescribeImagesResponse>", "not well-formed XML");
	images_fail("", "not well-formed XML");
	images_fail("<Other/>", "is not a DescribeImagesResponse");
	images_fail("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>"
		    "<DescribeImagesResponse>&e;</DescribeImagesResponse>",
		"document type");
}

#define SNAPSHOT(state, more)                                                                      \
	"<DescribeSnapshotsResponse" XMLNS "><snapshotSet><item><snapshotId>" SNAP "</snapshotId>"  \
	"<status>" state "</status><volumeSize>8</volumeSize><encrypted>true</encrypted>" more      \
	"</item></snapshotSet></DescribeSnapshotsResponse>"

static void test_wait(void **state)
{
	const struct step fine[] = {
		{"DescribeSnapshots", "200 OK", SNAPSHOT("pending", "<progress>99%</progress>")},
		{"DescribeSnapshots", "200 OK", SNAPSHOT("completed", "")}};
	const struct step bad[] = {{"DescribeSnapshots", "200 OK",
		SNAPSHOT("error", "<statusMessage>Checksum mismatch for snapshot</statusMessage>")}};
	struct error err = ERROR_INIT;
	struct ec2_snapshot s;
	struct fixture f;

	(void)state;
	start(&f, fine, 2);
	assert_int_equal(ec2_wait_snapshot(f.aws, SNAP, 60, NULL, NULL, &err), 0);
	assert_int_equal(f.seen, 2);
	assert_int_equal(ec2_describe_snapshot(f.aws, SNAP, &s, &err), 0);
	assert_int_equal(s.size_gib, 8);
	assert_true(s.encrypted);
	stop(&f);
	start(&f, bad, 1);
	assert_int_equal(ec2_wait_snapshot(f.aws, SNAP, 60, NULL, NULL, &err), -1);
	assert_string_equal(err.text, "snapshot " SNAP " failed: Checksum mismatch for snapshot");
	stop(&f);
	start(&f, fine, 1);
	assert_int_equal(ec2_wait_snapshot(f.aws, SNAP, 1, NULL, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_NETWORK);
	stop(&f);
}

static void refused(struct ec2_mapping map, const char *text)
{
	struct ec2_mapping maps[] = {root_mapping(), map};
	struct ec2_image_opts o = image_opts(maps, 2);
	struct error err = ERROR_INIT;

	assert_int_equal(ec2_check_image(&o, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	if (!strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
}

#define VOLUME .device = "/dev/sdf", .ebs = true, .size_gib = 8, .encrypted = -1

static void test_mapping_rules(void **state)
{
	(void)state;
	refused((struct ec2_mapping){VOLUME, .virtual_name = "ephemeral0"}, "exactly one of");
	refused((struct ec2_mapping){.device = "/dev/sdf"}, "exactly one of");
	refused((struct ec2_mapping){.device = "/dev/sdf", .virtual_name = "ephemeral24"},
		"ephemeral23");
	refused((struct ec2_mapping){.ebs = true, .size_gib = 1}, "no device name");
	refused((struct ec2_mapping){.device = "/dev/sdf", .ebs = true}, "a snapshot or a size");
	refused((struct ec2_mapping){VOLUME, .type = "gp4"}, "not a volume type");
	refused((struct ec2_mapping){VOLUME, .type = "gp2", .iops = 100}, "iops cannot be set");
	refused((struct ec2_mapping){VOLUME, .iops = 100}, "iops cannot be set");
	refused((struct ec2_mapping){VOLUME, .type = "io2"}, "needs iops");
	refused((struct ec2_mapping){VOLUME, .type = "io2", .iops = 100, .throughput = 125},
		"throughput cannot be set");
	refused((struct ec2_mapping){VOLUME, .type = "gp3", .iops = 2999}, "at least 3000 IOPS");
	refused((struct ec2_mapping){VOLUME, .type = "gp3", .throughput = 124}, "at least 125 MiB/s");
	refused((struct ec2_mapping){VOLUME, .type = "gp3", .throughput = 751}, "need at least 3004 IOPS");
	refused((struct ec2_mapping){VOLUME, .type = "io1", .iops = 99}, "at least 100 IOPS");
	refused((struct ec2_mapping){VOLUME, .type = "st1"}, "125 GiB at least");
	refused((struct ec2_mapping){.device = "/dev/sdf", .ebs = true, .size_gib = 1025, .encrypted = -1,
			.type = "standard"}, "1024 GiB at most");
	refused((struct ec2_mapping){.device = "/dev/sdf", .ebs = true, .snapshot = SNAP},
		"encryption cannot be set");
	refused(root_mapping(), "mapped twice");
}

static void accepted(struct ec2_mapping map)
{
	struct ec2_mapping maps[] = {root_mapping(), map};
	struct ec2_image_opts o = image_opts(maps, 2);
	struct error err = ERROR_INIT;

	if (ec2_check_image(&o, &err) < 0)
		fail_msg("%s", err.text);
}

/* Upper limits have moved and are EC2's to judge. */
static void test_good_mappings(void **state)
{
	(void)state;
	accepted((struct ec2_mapping){VOLUME});
	accepted((struct ec2_mapping){VOLUME, .type = "gp3", .iops = 80000, .throughput = 2000});
	accepted((struct ec2_mapping){VOLUME, .type = "gp3", .throughput = 750});
	accepted((struct ec2_mapping){VOLUME, .type = "io2", .iops = 256000});
	accepted((struct ec2_mapping){VOLUME, .type = "standard"});
	accepted((struct ec2_mapping){.device = "/dev/sdf", .ebs = true, .size_gib = 65536, .type = "gp3",
		.encrypted = 1});
	accepted((struct ec2_mapping){.device = "/dev/sdf", .ebs = true, .size_gib = 125, .type = "sc1",
		.encrypted = -1});
	accepted((struct ec2_mapping){.device = "/dev/sdf", .virtual_name = "ephemeral23"});
	accepted((struct ec2_mapping){.device = "/dev/sdf", .no_device = true});
}

static void bad_image(struct ec2_image_opts o, const char *text)
{
	struct error err = ERROR_INIT;

	assert_int_equal(ec2_check_image(&o, &err), -1);
	if (!strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
}

static void test_image_rules(void **state)
{
	struct ec2_mapping map = root_mapping();
	struct ec2_image_opts good = image_opts(&map, 1), o;
	static char too_long[64002];

	(void)state;
	memset(too_long, 'A', sizeof(too_long) - 1);
	assert_int_equal(ec2_check_image(&good, NULL), 0);
	o = good, o.name = "ab", bad_image(o, "3 to 128");
	o = good, o.name = "a:b", bad_image(o, "EC2 refuses");
	o = good, o.architecture = "sparc", bad_image(o, "x86_64, arm64 or i386");
	o = good, o.root_device = "/dev/sda1", bad_image(o, "'/dev/sda1' is not in the block device");
	o = good, o.boot_mode = "bios", bad_image(o, "legacy-bios, uefi or");
	o = good, o.tpm = "v2.0", bad_image(o, "needs boot mode uefi");
	o = good, o.architecture = "arm64", o.boot_mode = "legacy-bios", bad_image(o, "use uefi");
	o = good, o.boot_mode = "legacy-bios", o.uefi_data = "QUJD", bad_image(o, "no UEFI variables");
	o = good, o.uefi_data = too_long, bad_image(o, "EC2 takes 64000");
	o = good, o.location = "s3://b/x.manifest.xml", bad_image(o, "BUCKET/PATH");
	o = good, o.location = "/b/x.manifest.xml", bad_image(o, "BUCKET/PATH");
	o = good, o.location = "x.manifest.xml", bad_image(o, "BUCKET/PATH");
	o = good, o.location = "b/x.xml", bad_image(o, "BUCKET/PATH");
	o = good, o.location = "b/x.manifest.xml", bad_image(o, "the root is in the bundle");
	o = good, o.location = "b/x.manifest.xml", o.boot_mode = "uefi", bad_image(o, "EBS-backed");
	o = good, o.location = "b/x.manifest.xml", o.uefi_data = "QUE=", bad_image(o, "EBS-backed");
	o = good, o.virtualization = "paravirtual", bad_image(o, "for bundles only");
	o = good, o.location = "b/x.manifest.xml", o.nr_mappings = 0, o.root_device = NULL;
	assert_int_equal(ec2_check_image(&o, NULL), 0);
	map.snapshot[0] = '\0';
	map.size_gib = 8;
	bad_image(good, "the root device needs a snapshot");
}

static void test_tags_and_delete(void **state)
{
	const struct step steps[] = {
		{"CreateTags", "200 OK", "<CreateTagsResponse><return>true</return></CreateTagsResponse>"},
		{"DeleteSnapshot", "200 OK", "<DeleteSnapshotResponse/>"}};
	struct aws_tag tag = {"a b", "c"};
	struct fixture f;

	(void)state;
	start(&f, steps, 2);
	assert_int_equal(ec2_create_tags(f.aws, "ami-1", &tag, 1, NULL), 0);
	assert_string_equal(f.bodies[0], "Action=CreateTags&Version=2016-11-15&ResourceId.1=ami-1"
					 "&Tag.1.Key=a%20b&Tag.1.Value=c");
	assert_int_equal(ec2_delete_snapshot(f.aws, SNAP, NULL), 0);
	assert_string_equal(f.bodies[1],
		"Action=DeleteSnapshot&Version=2016-11-15&SnapshotId=" SNAP);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_register_bundle),
		cmocka_unit_test(test_lost_answer),
		cmocka_unit_test(test_lost_request),
		cmocka_unit_test(test_other_image),
		cmocka_unit_test(test_describe_images),
		cmocka_unit_test(test_strange_answers),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_mapping_rules),
		cmocka_unit_test(test_good_mappings),
		cmocka_unit_test(test_image_rules),
		cmocka_unit_test(test_tags_and_delete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
