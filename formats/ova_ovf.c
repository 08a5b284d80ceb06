/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptor: the least that VM Import, ESXi and VirtualBox want of one. Elements of an Item stand in
 * the order of their names, as the schema of version 1 has them.
 */
#include "formats/ova.h"

#include <string.h>

#include "base/num.h"
#include "base/text.h"
#include "base/xmldoc.h"

/* The virtual hardware when nobody says: ESXi 5.5, which knows EFI and every controller here. */
enum { HARDWARE_VERSION = 10, MEMORY_MIB = 1024 };

/* CIM_ResourceAllocationSettingData.ResourceType */
enum { CPU = 3, MEMORY = 4, IDE = 5, SCSI = 6, ETHERNET = 10, DISK = 17 };

#define CIM "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"

struct controller {
	const char *adapter, *title, *subtype; /* subtype NULL: none */
	unsigned type;
};

static const struct controller controllers[] = {
	{"lsilogic", "SCSI Controller 0", "lsilogic", SCSI},
	{"buslogic", "SCSI Controller 0", "buslogic", SCSI},
	{"lsisas1068", "SCSI Controller 0", "lsilogicsas", SCSI},
	{"pvscsi", "SCSI Controller 0", "VirtualSCSI", SCSI},
	{"ide", "IDE Controller 0", NULL, IDE},
};

/* One of the table: the VMDK's check has refused what is not known to both. */
static const struct controller *find_controller(const char *adapter)
{
	for (size_t i = 0; adapter && i < ARRAY_SIZE(controllers); i++)
		if (!strcmp(controllers[i].adapter, adapter))
			return &controllers[i];
	return &controllers[0];
}

/* A file name may be any bytes, and a document may not. */
static int add_escaped(struct buf *out, const char *text, struct error *err)
{
	for (size_t len; *text; text += len) {
		const char *as = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" :
				 *text == '"' ? "&quot;" : NULL;

		len = text_character(text) ? text_character(text) : 1;
		if (!text_plain_character(text))
			as = (unsigned char)*text < ' ' ? " " : "?";
		if ((as ? buf_add_str(out, as, err) : buf_add(out, text, len, err)) < 0)
			return -1;
	}
	return 0;
}

static int add_head(struct buf *out, const struct ova_disk *disk, struct error *err)
{
	return buf_addf(out, err,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
		"    xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
		"    xmlns:rasd=\"" CIM "CIM_ResourceAllocationSettingData\"\n"
		"    xmlns:vssd=\"" CIM "CIM_VirtualSystemSettingData\"\n"
		"    xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n"
		"  <References>\n"
		"    <File ovf:href=\"%s\" ovf:id=\"file1\" ovf:size=\"%llu\"/>\n"
		"  </References>\n"
		"  <DiskSection>\n"
		"    <Info>The disks of the machine</Info>\n"
		"    <Disk ovf:capacity=\"%llu\" ovf:capacityAllocationUnits=\"byte\" ovf:diskId=\"vmdisk1\"\n"
		"        ovf:fileRef=\"file1\" ovf:populatedSize=\"%llu\"\n"
		"        ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"/>\n"
		"  </DiskSection>\n"
		"  <NetworkSection>\n"
		"    <Info>The networks of the machine</Info>\n"
		"    <Network ovf:name=\"VM Network\">\n"
		"      <Description>The network of its one card</Description>\n"
		"    </Network>\n"
		"  </NetworkSection>\n",
		disk->file, (unsigned long long)disk->file_size, (unsigned long long)disk->capacity,
		(unsigned long long)disk->populated);
}

static int add_system(struct buf *out, const char *name, const struct format_write_opts *opts,
	struct error *err)
{
	bool arm = opts->architecture && !strcmp(opts->architecture, "arm64");

	if (buf_add_str(out, "  <VirtualSystem ovf:id=\"", err) < 0 || add_escaped(out, name, err) < 0 ||
		buf_add_str(out, "\">\n    <Info>A machine made of an image</Info>\n    <Name>", err) < 0 ||
		add_escaped(out, name, err) < 0)
		return -1;
	/* 101 is LINUX 64-Bit of CIM_OperatingSystem.OSType, whatever the processor; VMware's word is of x86_64. */
	if (buf_addf(out, err,
		"</Name>\n"
		"    <OperatingSystemSection ovf:id=\"101\"%s>\n"
		"      <Info>The system that is installed</Info>\n"
		"      <Description>Linux 64-Bit (%s)</Description>\n"
		"    </OperatingSystemSection>\n"
		"    <VirtualHardwareSection>\n"
		"      <Info>What the machine needs</Info>\n"
		"      <System>\n"
		"        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>\n"
		"        <vssd:InstanceID>0</vssd:InstanceID>\n"
		"        <vssd:VirtualSystemIdentifier>", arm ? "" : " vmw:osType=\"otherLinux64Guest\"",
		arm ? "arm64" : "x86_64") < 0 || add_escaped(out, name, err) < 0)
		return -1;
	return buf_addf(out, err,
		"</vssd:VirtualSystemIdentifier>\n"
		"        <vssd:VirtualSystemType>vmx-%02u</vssd:VirtualSystemType>\n"
		"      </System>\n",
		opts->hardware_version ? opts->hardware_version : HARDWARE_VERSION);
}

static int add_items(struct buf *out, const struct controller *c, struct error *err)
{
	if (buf_addf(out, err,
		"      <Item>\n"
		"        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>\n"
		"        <rasd:ElementName>1 virtual CPU</rasd:ElementName>\n"
		"        <rasd:InstanceID>1</rasd:InstanceID>\n"
		"        <rasd:ResourceType>%d</rasd:ResourceType>\n"
		"        <rasd:VirtualQuantity>1</rasd:VirtualQuantity>\n"
		"      </Item>\n"
		"      <Item>\n"
		"        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>\n"
		"        <rasd:ElementName>%d MB of memory</rasd:ElementName>\n"
		"        <rasd:InstanceID>2</rasd:InstanceID>\n"
		"        <rasd:ResourceType>%d</rasd:ResourceType>\n"
		"        <rasd:VirtualQuantity>%d</rasd:VirtualQuantity>\n"
		"      </Item>\n"
		"      <Item>\n"
		"        <rasd:Address>0</rasd:Address>\n"
		"        <rasd:ElementName>%s</rasd:ElementName>\n"
		"        <rasd:InstanceID>3</rasd:InstanceID>\n",
		CPU, MEMORY_MIB, MEMORY, MEMORY_MIB, c->title) < 0)
		return -1;
	if (c->subtype && buf_addf(out, err, "        <rasd:ResourceSubType>%s</rasd:ResourceSubType>\n",
		c->subtype) < 0)
		return -1;
	return buf_addf(out, err,
		"        <rasd:ResourceType>%u</rasd:ResourceType>\n"
		"      </Item>\n"
		"      <Item>\n"
		"        <rasd:AddressOnParent>0</rasd:AddressOnParent>\n"
		"        <rasd:ElementName>Hard Disk 1</rasd:ElementName>\n"
		"        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>\n"
		"        <rasd:InstanceID>4</rasd:InstanceID>\n"
		"        <rasd:Parent>3</rasd:Parent>\n"
		"        <rasd:ResourceType>%d</rasd:ResourceType>\n"
		"      </Item>\n"
		"      <Item>\n"
		"        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>\n"
		"        <rasd:Connection>VM Network</rasd:Connection>\n"
		"        <rasd:ElementName>Ethernet 1</rasd:ElementName>\n"
		"        <rasd:InstanceID>5</rasd:InstanceID>\n"
		"        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>\n"
		"        <rasd:ResourceType>%d</rasd:ResourceType>\n"
		"      </Item>\n", c->type, DISK, ETHERNET);
}

int ova_ovf_make(struct buf *out, const char *name, const struct ova_disk *disk,
	const struct format_write_opts *opts, struct error *err)
{
	const char *firmware = opts->firmware ? opts->firmware : "bios";

	if (add_head(out, disk, err) < 0 || add_system(out, name, opts, err) < 0 ||
		add_items(out, find_controller(opts->adapter), err) < 0)
		return -1;
	return buf_addf(out, err,
		"      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"%s\"/>\n"
		"    </VirtualHardwareSection>\n"
		"  </VirtualSystem>\n"
		"</Envelope>\n", firmware);
}

/* The href of the File of that id. */
static char *find_file(const struct xmldoc_node *envelope, const char *id, struct error *err)
{
	const struct xmldoc_node *file = xmldoc_child(xmldoc_child(envelope, "References"), "File");

	for (; file; file = xmldoc_next(file)) {
		char text[256], href[256];

		if (xmldoc_attribute(file, "id", text, sizeof(text)) >= sizeof(text) || strcmp(text, id))
			continue;
		if (xmldoc_attribute(file, "href", href, sizeof(href)) >= sizeof(href) || !href[0])
			break;
		return buf_strf(err, "%s", href);
	}
	return error_null(err, ERROR_INPUT, 0, "names no file for its disk");
}

char *ova_ovf_disk(const struct buf *ovf, size_t *nr_disks, struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *x = xmldoc_parse(ovf->data, ovf->len, err);
	const struct xmldoc_node *disk;
	char id[256] = "";

	*nr_disks = 0;
	if (!x)
		return NULL;
	disk = xmldoc_child(xmldoc_child(xmldoc_root(x), "DiskSection"), "Disk");
	for (; disk; disk = xmldoc_next(disk)) {
		char ref[sizeof(id)];

		if (!xmldoc_attribute(disk, "fileRef", ref, sizeof(ref)))
			continue; /* an empty disk, which has no file */
		if (!(*nr_disks)++)
			memcpy(id, ref, sizeof(id));
	}
	if (!*nr_disks)
		return error_null(err, ERROR_INPUT, 0, "names no disk that has a file");
	return find_file(xmldoc_root(x), id, err);
}
