# SPDX-License-Identifier: Apache-2.0
"""Bundles whose owner means harm: they are signed, and nothing of them is believed that need not be."""
import gzip
import hashlib
import io
import os
import re
import subprocess
import tarfile

import pytest

import bundle_oracle as oracle

KEY, IV = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "x.img"
    path.write_bytes(os.urandom(3000))
    return path


@pytest.fixture
def bundle(keys, image, tmp_path):
    return oracle.put_together(image, tmp_path / "b")


def unbundle(amiwright, manifest, status):
    """Its messages; a few seconds of a processor must do for it, however long the machine takes for them."""
    folder = manifest.parent.parent
    result = subprocess.run(["prlimit", "--cpu=8", amiwright.path, "unbundle", manifest, "--key", "user.key", "--cert",
                             "user.crt", "--out", "back"], cwd=folder, env=amiwright.env, capture_output=True,
                            text=True, check=False)
    assert result.returncode == status, result.stderr
    assert (folder / "back").exists() == (status == 0)
    return result.stderr


def put_content(manifest, folder, tar, size, packed=None):
    """The bundle's one part with that tar archive in it, in order but for what the test is about."""
    data = oracle.openssl("enc", "-e", "-aes-128-cbc", "-K", KEY, "-iv", IV, data=packed or gzip.compress(tar, 1))
    (manifest.parent / "x.img.part.00").write_bytes(data)

    def change(text):
        text = re.sub("(<image>.*?<digest algorithm='SHA1'>)[0-9a-f]*", rf"\g<1>{hashlib.sha1(tar).hexdigest()}", text)
        text = re.sub("<size>.*</size>", f"<size>{size}</size>", text)
        text = re.sub("<bundled_size>.*</bundled_size>", f"<bundled_size>{len(data)}</bundled_size>", text)
        return re.sub("(<filename>x.img.part.00</filename><digest algorithm='SHA1'>)[0-9a-f]*",
                      rf"\g<1>{hashlib.sha1(data).hexdigest()}", text)
    oracle.sign_again(manifest, folder / "user.key", change)


def archive(*members):
    """members: (name, type, pax headers, content)"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, pax, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.pax_headers, info.linkname = kind, len(content), pax, "/etc/passwd"
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("old,new,says", [
    ("<size>3000<", "<size>0xbb8<", "its size is no number"),
    ("<size>3000<", "<size>-1<", "its size is no number"),
    ("<size>3000<", "<size>18446744073709551616<", "its size is no number"),
    ("<size>3000<", "<size> 3000<", "its size is no number"),
    ("count='1'", "count='0x1'", "the count of its parts"),
    ("count='1'", "count='0'", "the count of its parts"),
    ("count='1'", "count='99999999999999999999'", "the count of its parts"),
    ("index='0'", "index='0x0'", "not numbered from 0"),
    ("index='0'", "index='1'", "not numbered from 0"),
    ("algorithm='SHA1'", "algorithm='MD5'", "by 'MD5'; only SHA1"),
    ("<name>x.img", "<name><![CDATA[</image>]]>x.img", "not well-formed"),
    ("<filename>x", "<filename>" + "n" * 300, "too long"),
    ("<size>3000<", "<size>2999<", "3000 bytes; the manifest says 2999"),
])
def test_values_that_lie(amiwright, keys, bundle, tmp_path, old, new, says):
    oracle.sign_again(bundle, tmp_path / "user.key", lambda text: text.replace(old, new))
    assert says in unbundle(amiwright, bundle, 1)


@pytest.mark.parametrize("entity", ["<a>&z;</a><bundler>", "<bundler a='&z;'>"])
def test_entities_are_not_expanded(amiwright, keys, bundle, entity):
    levels = "".join(f"<!ENTITY {chr(97 + i)} '{('&' + chr(96 + i) + ';') * 10 if i else 'x' * 1000}'>"
                     for i in range(26))
    text = bundle.read_text().replace("<manifest>", f"<!DOCTYPE m [{levels}]><manifest>")
    bundle.write_text(text.replace("<bundler>", entity))
    assert "cannot be read as a bundle's manifest" in unbundle(amiwright, bundle, 1)


def test_a_hole_of_eight_exbibytes(amiwright, keys, bundle, tmp_path):
    """Refused as soon as the file system refuses it: it was walked through for minutes."""
    size = 2 ** 63 - 1
    tar = archive(("x", tarfile.REGTYPE, {"GNU.sparse.size": str(size), "GNU.sparse.map": "0,3000"}, b"x" * 3000))
    put_content(bundle, tmp_path, tar, size)
    assert "File too large" in unbundle(amiwright, bundle, 1)


@pytest.mark.parametrize("members,says", [
    ([("l", tarfile.SYMTYPE, {}, b"")], "something else than a file"),
    ([("d", tarfile.DIRTYPE, {}, b"")], "something else than a file"),
    ([("a", tarfile.REGTYPE, {}, b"x" * 3000), ("b", tarfile.REGTYPE, {}, b"y")], "more than one file"),
    ([("a", tarfile.REGTYPE, {"GNU.sparse.size": "3000", "GNU.sparse.map": "0,200,100,200"}, b"x" * 400)],
     "out of order"),
    ([("a", tarfile.REGTYPE, {"GNU.sparse.size": "300", "GNU.sparse.map": "0,400"}, b"x" * 400)], "300 bytes"),
    ([("a", tarfile.REGTYPE, {"GNU.sparse.size": "3000", "GNU.sparse.map": "2900,400"}, b"x" * 400)],
     "beyond its file"),
])
def test_archives_that_lie(amiwright, keys, bundle, tmp_path, members, says):
    put_content(bundle, tmp_path, archive(*members), 3000)
    assert says in unbundle(amiwright, bundle, 1)


def test_where_a_member_would_go_is_nothing(amiwright, keys, bundle, tmp_path):
    for name in ("../../up", "/etc/passwd", "n" * 300):
        put_content(bundle, tmp_path, archive((name, tarfile.REGTYPE, {}, b"x" * 3000)), 3000)
        unbundle(amiwright, bundle, 0)
        assert (tmp_path / "back").read_bytes() == b"x" * 3000
        (tmp_path / "back").unlink()
    assert not (tmp_path.parent / "up").exists()


@pytest.mark.parametrize("packed,says", [
    (lambda g: g + b"more", "gzip data is damaged"),
    (lambda g: g[:-4], "ends too soon"),
    (lambda g: g[:-8] + bytes(8), "gzip data is damaged"),
    (lambda g: gzip.decompress(g), "gzip data is damaged"),
    (lambda g: g + bytes(100) + g, "behind its gzip data"),
])
def test_gzip_that_lies(amiwright, keys, bundle, tmp_path, packed, says):
    tar = archive(("x", tarfile.REGTYPE, {}, b"x" * 3000))
    put_content(bundle, tmp_path, tar, 3000, packed(gzip.compress(tar)))
    assert says in unbundle(amiwright, bundle, 1)


def test_parts_that_are_no_files(amiwright, keys, bundle):
    part = bundle.parent / "x.img.part.00"
    part.unlink()
    os.mkfifo(part)
    assert "is no file" in unbundle(amiwright, bundle, 1)
    part.unlink()
    part.symlink_to("/dev/zero")
    assert "is no file" in unbundle(amiwright, bundle, 1)
