# SPDX-License-Identifier: Apache-2.0
"""`bundle` and `unbundle`, held against openssl, gzip, tar and Python."""
import hashlib
import os
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

import bundle_oracle as oracle

MIB = 1024 * 1024
SEED = "0123456789abcdef" * 4
NEEDLE = b"this must never reach a disk unencrypted; "


def make_image(path, size=45 * MIB):
    """Three parts: bytes that do not compress, a text, holes, an odd end."""
    with open(path, "wb") as f:
        f.write(random.Random(1).randbytes(21 * MIB + 4711))
        f.write(NEEDLE * 2000)
        f.seek(30 * MIB)
        f.write(bytes(100000) + b"end of data")
        f.truncate(size)
    return path


@pytest.fixture
def image(tmp_path):
    return make_image(tmp_path / "disk.img", 45 * MIB + 512)


def holds(path):
    return path.stat().st_blocks * 512


def test_another_program_takes_it_apart(amiwright, keys, image, tmp_path):
    printed = amiwright("bundle", "disk.img", *keys).stdout
    assert printed == "out/disk.img.manifest.xml\n"
    manifest = tmp_path / printed.strip()
    for who in ("user", "ec2"):
        member, content = oracle.take_apart(manifest, tmp_path / f"{who}.key", who)
        assert content == image.read_bytes()
    assert (member.name, member.uid, member.gid, member.mode, member.mtime) == ("disk.img", 0, 0, 0o644, 0)
    oracle.check_signature(manifest, tmp_path / "user.crt", tmp_path)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == \
        ["disk.img.manifest.xml", *(f"disk.img.part.{i:02}" for i in range(3))]
    subprocess.run(["xmllint", "--noout", manifest], check=True)


def test_the_manifest_says_what_was_asked(amiwright, keys, image, tmp_path):
    amiwright("bundle", "disk.img", *keys, "--prefix", "web-1", "--arch", "i386", "--kernel", "aki-12345678",
              "--ramdisk", "ari-12345678", "--product-code", "ABC123", "--product-code", "XYZ", "--ancestor",
              "ami-0123456789abcdef0", "--mapping", "root=/dev/sda1", "--mapping", "ami=sda1",
              "--mapping", "ephemeral0=sdb", "--level", "1")
    text = (tmp_path / "out/web-1.manifest.xml").read_text()
    assert ">\n" not in text and "> <" not in text
    assert oracle.cut(text, "machine_configuration") == (
        "<machine_configuration><architecture>i386</architecture><block_device_mapping>"
        "<mapping><virtual>ami</virtual><device>sda1</device></mapping>"
        "<mapping><virtual>ephemeral0</virtual><device>sdb</device></mapping>"
        "<mapping><virtual>root</virtual><device>/dev/sda1</device></mapping></block_device_mapping>"
        "<kernel_id>aki-12345678</kernel_id><ramdisk_id>ari-12345678</ramdisk_id>"
        "<product_codes><product_code>ABC123</product_code><product_code>XYZ</product_code></product_codes>"
        "</machine_configuration>")
    top = ET.fromstring(text)
    assert [e.tag for e in top] == ["version", "bundler", "machine_configuration", "image", "signature"]
    assert [e.tag for e in top.find("image")] == [
        "name", "user", "type", "ancestry", "digest", "size", "bundled_size", "ec2_encrypted_key",
        "user_encrypted_key", "ec2_encrypted_iv", "user_encrypted_iv", "parts"]
    assert top.findtext("image/user") == "111122223333"
    assert top.findtext("image/ancestry/ancestor_ami_id") == "ami-0123456789abcdef0"


def test_there_and_back(amiwright, keys, image, tmp_path):
    result = amiwright.json("bundle", "disk.img", *keys)
    assert result["size"] == image.stat().st_size and result["parts"] == 3
    amiwright("bundle", "--verify", result["manifest"], "--cert", "user.crt")
    amiwright("bundle", "--verify", result["manifest"], "--cert", "user.crt", "--key", "user.key")
    amiwright("unbundle", result["manifest"], "--key", "user.key", "--cert", "user.crt", "--out", "back.img")
    assert (tmp_path / "back.img").read_bytes() == image.read_bytes()
    assert holds(tmp_path / "back.img") <= holds(image) + MIB


def test_parts_in_another_folder(amiwright, keys, image, tmp_path):
    amiwright("bundle", "disk.img", *keys)
    shutil.move(tmp_path / "out/disk.img.manifest.xml", tmp_path / "m.xml")
    assert "part.00" in amiwright("unbundle", "m.xml", "--key", "user.key", "--out", "b", status=1).stderr
    amiwright("unbundle", "m.xml", "--key", "user.key", "--out", "b", "--parts", "out")
    assert (tmp_path / "b").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("tar,quote,pack", [
    ("tar -c --owner=0 --group=0", "'", "gzip"),
    ("tar -c -S --format=gnu", '"', "gzip -9"),
    ("tar -c -S --format=oldgnu", "'", "gzip -1"),
    ("tar -c -S --format=pax --sparse-version=0.0", "'", "gzip"),
    ("tar -c -S --format=pax --sparse-version=0.1", "'", "gzip"),
    ("tar -c -S --format=pax --sparse-version=1.0", "'", "gzip"),
    ("tar -c --format=ustar -b 2048", "'", "gzip"),
    ("tar -c --format=v7", "'", "gzip"),
])
def test_bundles_by_others(amiwright, keys, image, tmp_path, tar, quote, pack):
    manifest = oracle.put_together(image, tmp_path / "other", tar, quote, pack=pack)
    amiwright("unbundle", manifest, "--key", "user.key", "--cert", "user.crt", "--out", "back.img")
    assert (tmp_path / "back.img").read_bytes() == image.read_bytes()
    assert holds(tmp_path / "back.img") <= holds(image) + MIB


def test_sparse_members_of_all_kinds(amiwright, keys, tmp_path):
    """Many pieces (headers that go on), none at all, data at both ends."""
    many = tmp_path / "many.img"
    with open(many, "wb") as f:
        for i in range(300):
            f.seek(i * 65536)
            f.write(b"piece %d" % i)
        f.truncate(300 * 65536)
    empty = tmp_path / "empty.img"
    with open(empty, "wb") as f:
        f.truncate(3 * MIB)
    kinds = ["gnu", *(f"pax --sparse-version={v}" for v in ("0.0", "0.1", "1.0"))]
    for i, (source, kind) in enumerate((s, k) for s in (many, empty) for k in kinds):
        manifest = oracle.put_together(source, tmp_path / f"b{i}", f"tar -c -S --format={kind}")
        amiwright("unbundle", manifest, "--key", "user.key", "--out", "back.img")
        assert (tmp_path / "back.img").read_bytes() == source.read_bytes(), kind


def test_an_empty_last_part(amiwright, keys, image, tmp_path):
    manifest = oracle.put_together(image, tmp_path / "other", empty_part=True)
    amiwright("bundle", "--verify", manifest, "--cert", "user.crt", "--key", "user.key")


def test_same_bits(amiwright, keys, image, tmp_path):
    seen = set()
    for jobs in (1, 8):
        amiwright("bundle", "disk.img", *keys, "--seed", SEED, "--force", "-j", jobs)
        files = sorted((tmp_path / "out").iterdir())
        seen.add(tuple((f.name, hashlib.sha256(f.read_bytes()).hexdigest()) for f in files))
    assert len(seen) == 1
    first = (tmp_path / "out/disk.img.part.00").read_bytes()
    amiwright("bundle", "disk.img", *keys, "--force")
    assert (tmp_path / "out/disk.img.part.00").read_bytes() != first


def test_of_a_spec(amiwright, keys, spec, tmp_path):
    manifest = tmp_path / amiwright("bundle", spec, *keys).stdout.strip()
    assert manifest.name == "tiny.manifest.xml"
    amiwright("build", spec, "-o", "disk.raw")
    amiwright("unbundle", manifest, "--key", "user.key", "--out", "back.img")
    assert (tmp_path / "back.img").read_bytes() == (tmp_path / "disk.raw").read_bytes()
    assert "<architecture>x86_64</architecture>" in manifest.read_text()


def test_of_other_formats(amiwright, keys, image, tmp_path):
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", image, "disk.vmdk"], cwd=tmp_path, check=True)
    subprocess.run(["gzip", "-k", "-1", image], check=True)
    for source in ("disk.vmdk", "disk.img.gz"):
        printed = amiwright("bundle", source, *keys).stdout
        content = oracle.take_apart(tmp_path / printed.strip(), tmp_path / "user.key")[1]
        assert content == image.read_bytes().ljust(len(content), b"\0")
        assert len(content) - image.stat().st_size < MIB


@pytest.mark.slow
def test_beyond_eight_gib(amiwright, keys, tmp_path):
    """A size that octal digits of a tar header cannot hold; and more than ten is refused before any work."""
    big = tmp_path / "big.img"
    with open(big, "wb") as f:
        f.write(b"\x01" * 4096)
        f.truncate(8 * 1024 * MIB + 512)
    amiwright("bundle", big, *keys, "--level", "1")
    amiwright("unbundle", "out/big.img.manifest.xml", "--key", "user.key", "--out", "back.img")
    back = tmp_path / "back.img"
    assert back.stat().st_size == big.stat().st_size and holds(back) < MIB
    key = oracle.unwrap(ET.parse(tmp_path / "out/big.img.manifest.xml").getroot().find("image"),
                        "user_encrypted_key", tmp_path / "user.key")
    iv = oracle.unwrap(ET.parse(tmp_path / "out/big.img.manifest.xml").getroot().find("image"),
                       "user_encrypted_iv", tmp_path / "user.key")
    listing = subprocess.run(["bash", "-c", f"cat out/big.img.part.* | openssl enc -d -aes-128-cbc -K {key} "
                              f"-iv {iv} | gzip -d | head -c 1M | tar -tv"], cwd=tmp_path, check=False, text=True,
                             capture_output=True).stdout
    assert str(big.stat().st_size) in listing
    os.truncate(big, 10 * 1024 * MIB + 512)
    failed = amiwright("bundle", big, *keys, "--prefix", "huge", status=1)
    assert "10 GiB" in failed.stderr
    assert not list((tmp_path / "out").glob("*huge*")) and not list((tmp_path / "out").glob(".amiwright*"))


def test_what_is_there_is_not_replaced(amiwright, keys, image, tmp_path):
    amiwright("bundle", "disk.img", *keys)
    (tmp_path / "out/disk.img.part.07").write_text("of an older, longer bundle")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert "--force" in amiwright("bundle", "disk.img", *keys, status=3).stderr
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    amiwright("bundle", "disk.img", *keys, "--force")
    assert not (tmp_path / "out/disk.img.part.07").exists()
    amiwright("bundle", "--verify", "out/disk.img.manifest.xml", "--cert", "user.crt", "--key", "user.key")


@pytest.mark.parametrize("change,status,says", [
    (["--cert", "ec2.crt"], 1, "not that of the key 'user.key'"),
    (["--key", "user.crt"], 1, "is no private key in PEM but a certificate"),
    (["--cert", "user.key"], 1, "is no certificate in PEM but a private key"),
    (["--ec2-cert", "missing.crt"], 1, "missing.crt"),
    (["--user", "12345"], 2, "12 digits"),
    (["--user", "1111222233334"], 2, "12 digits"),
    (["--out", "nowhere"], 1, "nowhere"),
    (["--prefix", "a/b"], 2, "cannot name a bundle"),
    (["--prefix", "x" * 100], 2, "cannot name a bundle"),
    (["--kernel", "ari-12345678"], 2, "--kernel"),
    (["--ramdisk", "nonsense"], 2, "--ramdisk"),
    (["--ancestor", "ami-1"], 2, "--ancestor"),
    (["--product-code", "a b"], 2, "--product-code"),
    (["--mapping", "data=sdb"], 2, "--mapping"),
    (["--mapping", "ami=sda1", "--mapping", "ami=sdb"], 2, "twice"),
    (["--level", "13"], 2, "--level"),
    (["--seed", "abc"], 2, "--seed"),
    (["--arch", "ppc"], 2, "--arch"),
    (["--parts", "out"], 2, "--verify"),
    (["--verify"], 2, "--verify"),
])
def test_bad_usage_is_told_before_work(amiwright, keys, image, tmp_path, change, status, says):
    assert says in amiwright("bundle", "disk.img", *keys, *change, status=status).stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("pack", [None, "gzip", pytest.param("xz", marks=pytest.mark.slow)])
def test_nothing_in_plain_text(amiwright, keys, image, tmp_path, pack):
    """All bytes that system calls write; a compressed image is unpacked to a temporary file that is encrypted."""
    content, source = image.read_bytes(), image
    if pack:
        subprocess.run([pack, "-1", image], check=True)
        source, = tmp_path.glob("disk.img.*")
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-qq", "-s", str(2 * MIB), "-xx", "-e",
               "trace=write,pwrite64,writev,pwritev,copy_file_range,sendfile,ftruncate", "-o", trace, amiwright.path,
               "bundle", source, *keys, "--prefix", "x"]
    if not shutil.which("strace"):
        pytest.skip("no strace here")
    subprocess.run(command, cwd=tmp_path, env=amiwright.env, check=True, capture_output=True)
    seen = trace.read_bytes()
    assert b"copy_file_range" not in seen and b"sendfile" not in seen
    assert re.search(rb"p?write", seen)
    seen = seen.replace(b"\\x", b"")
    for secret in (NEEDLE, content[:200], content[20 * MIB:20 * MIB + 100]):
        assert secret.hex().encode() not in seen
    assert oracle.take_apart(tmp_path / "out/x.manifest.xml", tmp_path / "user.key")[1] == content


def test_wrong_keys_at_the_other_end(amiwright, keys, image, tmp_path):
    amiwright("bundle", "disk.img", *keys)
    manifest = "out/disk.img.manifest.xml"
    oracle.make_pair(tmp_path, "third")
    assert "not encrypted for this private key" in \
        amiwright("unbundle", manifest, "--key", "third.key", "--out", "b", status=1).stderr
    assert "was not signed by" in amiwright("unbundle", manifest, "--key", "user.key", "--cert", "third.crt",
                                            "--out", "b", status=1).stderr
    assert not (tmp_path / "b").exists()


def test_what_is_not_signed_is_not_believed(amiwright, keys, image, tmp_path):
    """Another image element before the signed one is found by verifiers' way of cutting, or not at all."""
    amiwright("bundle", "disk.img", *keys)
    manifest = tmp_path / "out/disk.img.manifest.xml"
    text = manifest.read_text()
    other = oracle.cut(text, "image").replace("111122223333", "999999999999")
    for fake in (text.replace("<bundler>", other + "<bundler>"), text.replace("</manifest>", other + "</manifest>"),
                 text.replace("<bundler>", f"<!-- {other} --><bundler>"), text.replace("111122223333", "9" * 12),
                 text.replace("<image>", "<image x='1'>"), "\ufeff" + text.replace("<signature>", "<signature>00")):
        manifest.write_text(fake)
        run = subprocess.run([amiwright.path, "bundle", "--verify", manifest, "--cert", tmp_path / "user.crt",
                              "--json"], env=amiwright.env, capture_output=True, text=True, check=False)
        # What stands behind the signed element changes nothing of what is believed.
        assert (run.returncode == 0) == (fake.endswith(other + "</manifest>")), (fake[:300], run.stderr)


def test_names_of_parts_stay_in_their_folder(amiwright, keys, image, tmp_path):
    manifest = oracle.put_together(image, tmp_path / "other")
    text = manifest.read_text()
    for name in ("../disk.img", "/etc/passwd", "..", "", "a/b"):
        manifest.write_text(text.replace("disk.img.part.00", name))
        assert "name is none of a file" in \
            amiwright("unbundle", manifest, "--key", "user.key", "--out", "b", status=1).stderr


@pytest.mark.parametrize("damage,says", [
    (lambda d: (d / "disk.img.part.01").unlink(), "disk.img.part.01"),
    (lambda d: os.truncate(d / "disk.img.part.02", 1000), "bytes"),
    (lambda d: shutil.copy(d / "disk.img.part.01", d / "disk.img.part.00"), "disk.img.part.00"),
])
def test_damaged_parts_are_named(amiwright, keys, image, tmp_path, damage, says):
    amiwright("bundle", "disk.img", *keys)
    damage(tmp_path / "out")
    (tmp_path / "b").write_text("what was there stays")
    failed = amiwright("unbundle", "out/disk.img.manifest.xml", "--key", "user.key", "--out", "b", status=1)
    assert says in failed.stderr
    assert (tmp_path / "b").read_text() == "what was there stays"


def test_interrupted_leaves_nothing(amiwright, keys, tmp_path):
    big = make_image(tmp_path / "big.img", 1500 * MIB)
    process = subprocess.Popen([amiwright.path, "bundle", big, *keys], cwd=tmp_path, env=amiwright.env,
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while not list((tmp_path / "out").glob(".amiwright*/*")) and process.poll() is None:
        pass
    process.terminate()
    process.communicate()
    assert process.returncode == 130
    assert not list((tmp_path / "out").iterdir())
