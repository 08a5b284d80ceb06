# SPDX-License-Identifier: Apache-2.0
"""OVA archives: ours judged by tar, xmllint, sha256 and qemu-img; foreign and damaged ones read."""
import hashlib
import io
import pathlib
import random
import re
import shutil
import subprocess
import tarfile
import xml.etree.ElementTree as ET

import pytest

SCHEMA = pathlib.Path(__file__).parent.parent / "schema/ovf.rng"
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
RASD = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData}"


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.img"
    with path.open("wb") as out:
        out.truncate(40 << 20)
        out.seek(7 << 20)
        out.write(random.Random(1).randbytes(3 << 20))
    return path


def unpack(path, folder):
    with tarfile.open(path) as tar:
        names = tar.getnames()
        tar.extractall(folder)
        assert {(m.uid, m.gid, m.mode) for m in tar} == {(0, 0, 0o644)}
    return names


def test_written(amiwright, disk, tmp_path):
    amiwright("convert", disk, "web.ova", "-j1")
    amiwright("convert", disk, "web2.ova", "--name", "web", "-j8")
    assert (tmp_path / "web.ova").read_bytes() == (tmp_path / "web2.ova").read_bytes()
    piped = subprocess.run([amiwright.path, "convert", disk, "-", "--to", "ova", "--name", "web"], cwd=tmp_path,
                           capture_output=True, check=True).stdout
    assert piped == (tmp_path / "web.ova").read_bytes()
    subprocess.run(["tar", "-tf", tmp_path / "web.ova"], check=True, capture_output=True)
    out = tmp_path / "out"
    assert unpack(tmp_path / "web.ova", out) == ["web.ovf", "web.mf", "web-disk1.vmdk"]
    said = dict(re.findall(r"SHA256\((.*)\)= ([0-9a-f]{64})\n", (out / "web.mf").read_text()))
    assert said == {name: hashlib.sha256((out / name).read_bytes()).hexdigest()
                    for name in ("web.ovf", "web-disk1.vmdk")}
    assert "identical" in subprocess.run(["qemu-img", "compare", "-f", "raw", "-F", "vmdk", disk, out / "web-disk1.vmdk"],
                                         check=True, capture_output=True, text=True).stdout
    amiwright("convert", disk, "only.vmdk")
    assert (tmp_path / "only.vmdk").read_bytes() == (out / "web-disk1.vmdk").read_bytes()
    ovf = ET.parse(out / "web.ovf").getroot()
    file = ovf.find(f"{OVF}References/{OVF}File")
    assert int(file.get(f"{OVF}size")) == (out / "web-disk1.vmdk").stat().st_size
    described = ovf.find(f"{OVF}DiskSection/{OVF}Disk")
    assert described.get(f"{OVF}capacity") == str(40 << 20)
    assert 3 << 20 <= int(described.get(f"{OVF}populatedSize")) <= 4 << 20
    amiwright("convert", "web.ova", "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == disk.read_bytes()
    told = amiwright.json("inspect", "web.ova")
    assert (told["format"], told["variant"], told["size"]) == ("ova", "streamOptimized", 40 << 20)


def test_same_disk_in_other_files(amiwright, disk, tmp_path):
    """Holes are a matter of the file that a disk lies in, and must not be one of what is made of it."""
    whole = disk.read_bytes()
    (tmp_path / "full.img").write_bytes(whole)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk, tmp_path / "disk.qcow2"], check=True)
    made = []
    for name in ("disk.img", "full.img", "disk.qcow2"):
        amiwright("convert", name, "a.ova", "--keep-unused")
        made.append((tmp_path / "a.ova").read_bytes())
    assert made[0] == made[1] == made[2]
    assert b'ovf:populatedSize="%d"' % (sum(any(whole[i:i + 65536]) for i in range(0, len(whole), 65536)) * 65536) in made[0]


@pytest.mark.parametrize("options, says", [
    ((), ("vmx-10", "lsilogic", 'vmw:value="bios"', "x86_64")),
    (("--adapter", "pvscsi", "--hardware-version", "19", "--firmware", "efi"),
     ("vmx-19", "VirtualSCSI", 'vmw:value="efi"')),
    (("--adapter", "ide"), ("IDE Controller 0",)),
    (("--adapter", "buslogic", "--architecture", "arm64"), ("buslogic", "arm64")),
    (("--name", 'a "b" & <c>/ü'), ("a &quot;b&quot; &amp; &lt;c&gt;/ü",)),
    # No UTF-8, as file names need not be; what XML forbids; what only terminals obey.
    (("--name", "a\udce9b\uffff\x1b\x7fc\ud7ff"), (">a?b? ?c\ud7ff<",)),
])
def test_descriptor(amiwright, disk, tmp_path, options, says):
    amiwright("convert", disk, "a.ova", *options)
    names = unpack(tmp_path / "a.ova", tmp_path / "out")
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    ovf = tmp_path / "out" / names[0]
    text = ovf.read_text()
    for part in says:
        assert part in text
    assert shutil.which("xmllint"), "package libxml2-utils"
    run = subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, ovf], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    instances = [e.text for e in ET.parse(ovf).getroot().iter(f"{RASD}InstanceID")]
    assert len(set(instances)) == len(instances) == 5


def test_the_schema_can_fail(disk, amiwright, tmp_path):
    amiwright("convert", disk, "a.ova")
    unpack(tmp_path / "a.ova", tmp_path / "out")
    ovf = tmp_path / "out/a.ovf"
    ovf.write_text(ovf.read_text().replace("<rasd:InstanceID>4</rasd:InstanceID>\n", ""))
    assert subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, ovf], capture_output=True).returncode


def pack(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def foreign(href, more=""):
    return f"""<?xml version="1.0"?><ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<ovf:References><ovf:File ovf:id="x" ovf:href="other"/><ovf:File ovf:id="f" ovf:href="{href}"/></ovf:References>
<ovf:DiskSection><ovf:Info/><ovf:Disk ovf:diskId="empty" ovf:capacity="1"/>
<ovf:Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="1"/>{more}</ovf:DiskSection></ovf:Envelope>""".encode()


@pytest.mark.parametrize("form", ["vmdk", "vpc", "gz"])
def test_foreign(amiwright, disk, tmp_path, form):
    """A prefix for names, a disk that is no VMDK, one that is compressed, other members before it."""
    if form == "gz":
        data = subprocess.run(["gzip", "-c", disk], check=True, capture_output=True).stdout
    else:
        extra = ["-o", "subformat=streamOptimized"] if form == "vmdk" else ["-o", "force_size=on"]
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, *extra, disk, tmp_path / "q"], check=True)
        data = (tmp_path / "q").read_bytes()
    pack(tmp_path / "f.ova", [("m.ovf", foreign("m.disk")), ("other", b"?" * 700), ("m.disk", data),
                              ("m.mf", f"SHA1 (m.disk)= {hashlib.sha1(data).hexdigest()}\n".encode())])
    amiwright("convert", "f.ova", "back.raw", "--keep-unused")
    assert (tmp_path / "back.raw").read_bytes()[:40 << 20] == disk.read_bytes()
    two = '<ovf:Disk ovf:diskId="e" ovf:fileRef="x" ovf:capacity="1"/>'
    pack(tmp_path / "f.ova", [("m.ovf", foreign("m.disk", two)), ("other", b"?"), ("m.disk", data)])
    assert "has 2 disks" in amiwright("convert", "f.ova", "back.raw").stderr


def test_refused(amiwright, disk, tmp_path):
    assert "OVF has no 'legacyESX'" in amiwright("convert", disk, "x.ova", "--adapter", "legacyESX", status=2).stderr
    amiwright("convert", disk, "a.ova")
    good = (tmp_path / "a.ova").read_bytes()
    pack(tmp_path / "tar", [("readme", b"hello")])
    assert "is a tar archive, not a disk" in amiwright("convert", "tar", "x.raw", status=1).stderr
    pack(tmp_path / "lost", [("m.ovf", foreign("gone.vmdk"))])
    assert "lacks its disk 'gone.vmdk'" in amiwright("convert", "lost", "x.raw", status=1).stderr
    pack(tmp_path / "none", [("m.ovf", b"<Envelope/>")])
    assert "names no disk" in amiwright("convert", "none", "x.raw", status=1).stderr
    pack(tmp_path / "bad", [("m.ovf", b"<Envelope")])
    assert "not well-formed" in amiwright("convert", "bad", "x.raw", status=1).stderr
    pack(tmp_path / "nest", [("m.ovf", foreign("d")), ("d", good)])
    pack(tmp_path / "nest2", [("m.ovf", foreign("d")), ("d", (tmp_path / "nest").read_bytes())])
    assert "take it apart first" in amiwright("convert", "nest2", "x.raw", status=1).stderr
    changed = bytearray(good)
    changed[len(good) // 2] ^= 1
    (tmp_path / "changed.ova").write_bytes(changed)
    assert "has not the SHA-256" in amiwright("convert", "changed.ova", "x.raw", status=1).stderr
    (tmp_path / "cut.ova").write_bytes(good[:len(good) // 2])
    assert "is it a whole file?" in amiwright("convert", "cut.ova", "x.raw", status=1).stderr
    assert not (tmp_path / "x.raw").exists()


@pytest.mark.parametrize("kind, called", [("sha1", "SHA-1"), ("sha256", "SHA-256"), ("sha512", "SHA-512")])
def test_manifests_of_others(amiwright, disk, tmp_path, kind, called):
    """By the algorithms that OVF 1 and ovftool have, with lines that end as in DOS."""
    amiwright("convert", disk, "d.vmdk")
    vmdk = (tmp_path / "d.vmdk").read_bytes()
    digest = hashlib.new(kind, vmdk).hexdigest()
    wrong = ("0" if digest[0] != "0" else "1") + digest[1:]
    for said, fault in ((digest, None), (digest.upper(), None), (wrong, f"has not the {called} that"),
                        (digest[:-1], f"is no {called}"), (digest + "00", f"is no {called}")):
        manifest = f"{kind.upper()}(m.ovf)= 00\r\n{kind.upper()}(d)= {said}\r\n".encode()
        pack(tmp_path / "m.ova", [("m.ovf", foreign("d")), ("m.mf", manifest), ("d", vmdk)])
        result = amiwright("convert", "m.ova", "x.raw", status=1 if fault else 0)
        assert not fault or (fault in result.stderr and "damaged OVA" in result.stderr)
    assert (tmp_path / "x.raw").read_bytes() == disk.read_bytes()


def test_damaged(amiwright, disk, tmp_path):
    amiwright("convert", disk, "a.ova")
    good = (tmp_path / "a.ova").read_bytes()
    draw = random.Random(4)
    for i in range(60):
        bad = bytearray(good)
        if i % 3 == 0:
            del bad[draw.randrange(1, len(bad)):]
        else:
            for _ in range(3):
                bad[draw.randrange(6000)] ^= 1 << draw.randrange(8)
        (tmp_path / "bad.ova").write_bytes(bad)
        run = subprocess.run([amiwright.path, "inspect", "bad.ova"], cwd=tmp_path, capture_output=True, text=True,
                             timeout=60)
        assert run.returncode in (0, 1), run.stderr


def tar_head(folder, form, mark):
    """What GNU tar writes of m.ovf and a large disk, up to the disk's first byte, which is that of the mark."""
    with subprocess.Popen(["tar", f"--format={form}", "-cf", "-", "m.ovf", *folder.glob("long*"), "m.disk"],
                          cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        head = run.stdout.read(1 << 16)
        run.kill()
    return head[:head.index(mark)]


@pytest.mark.parametrize("form", ["pax", "gnu"])
def test_large(amiwright, tmp_path, form):
    """Over 8 GiB the size is in a pax record, or in base 256. The disk's holes are not read."""
    mark, size = b"a mark of 16 byt", 9 << 30
    (tmp_path / "m.ovf").write_bytes(foreign("m.disk"))
    with (tmp_path / "m.disk").open("wb") as out:
        out.write(mark + bytes(494) + b"\x55\xaa")
        out.truncate(size)
    head = tar_head(tmp_path, form, mark)
    with (tmp_path / "big.ova").open("wb") as out:
        out.write(head + (tmp_path / "m.disk").open("rb").read(512))
        out.truncate(len(head) + size + 10240)
    told = amiwright.json("inspect", "big.ova")
    assert told["format"] == "ova" and told["size"] == size
    assert told["map"]["used"] == 1 and told["map"]["zero"] == told["map"]["units"] - 1
    (tmp_path / "big.ova").write_bytes(head + mark)
    assert "is it a whole file?" in amiwright("inspect", "big.ova", status=1).stderr


@pytest.mark.parametrize("program, form", [("tar", "pax"), ("tar", "gnu"), ("tar", "ustar"), ("bsdtar", "pax"),
                                           ("bsdtar", "ustar")])
def test_long_names(amiwright, disk, tmp_path, program, form):
    """Names over 100 bytes: pax records, GNU's long names, ustar's prefix."""
    assert shutil.which(program), "package libarchive-tools"
    folder = "f" * 60 if form == "ustar" else "f" * 90 + "ü"
    name = f"{folder}/{'d' * 90}.vmdk"
    amiwright("convert", disk, "d.vmdk")
    (tmp_path / folder).mkdir()
    (tmp_path / "d.vmdk").rename(tmp_path / name)
    (tmp_path / "m.ovf").write_bytes(foreign(name))
    subprocess.run([program, f"--format={form}", "-cf", "l.ova", "./m.ovf", name], cwd=tmp_path, check=True,
                   env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin"})
    amiwright("convert", "l.ova", "back.raw")
    assert (tmp_path / "back.raw").read_bytes() == disk.read_bytes()


def test_headers_that_lie(amiwright, disk, tmp_path):
    """A sparse member, a wrong checksum, records that are none."""
    (tmp_path / "m.ovf").write_bytes(foreign("disk.img"))
    for form in ("pax", "gnu"):
        subprocess.run(["tar", "-S", f"--format={form}", "-cf", "s.ova", "m.ovf", "disk.img"], cwd=tmp_path, check=True)
        assert "without tar's --sparse" in amiwright("convert", "s.ova", "x.raw", status=1).stderr
    with tarfile.open(tmp_path / "p.ova", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(tmp_path / "m.ovf", "m.ovf")
        info = tarfile.TarInfo("disk.img")
        info.size, info.pax_headers = 1 << 20, {"comment": "x" * 40}
        tar.addfile(info, io.BytesIO(disk.read_bytes()[7 << 20:8 << 20]))
    good = (tmp_path / "p.ova").read_bytes()
    amiwright("convert", "p.ova", "y.raw")
    for old, new in ((b"comment=xx", b"size=00099"), (b"comment=x", b"size=1e9x"), (b"52 comment", b"99 comment"),
                     (b"disk.img", b"disk.imh")):
        assert old in good
        (tmp_path / "p.ova").write_bytes(good.replace(old, new))
        assert "p.ova'" in amiwright("convert", "p.ova", "x.raw", status=1).stderr
    assert not (tmp_path / "x.raw").exists()
