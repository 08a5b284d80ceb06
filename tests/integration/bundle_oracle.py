# SPDX-License-Identifier: Apache-2.0
"""Bundles by other hands: openssl, gzip, tar, split and Python's library, from the format's description."""
import gzip
import hashlib
import io
import re
import shlex
import subprocess
import tarfile
import xml.etree.ElementTree as ET

PART = 10 * 1024 * 1024


def openssl(*args, data=None, status=0):
    result = subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True, check=False)
    assert result.returncode == status, (args, result.stderr)
    return result.stdout


def make_pair(folder, name, bits=1024, extra=()):
    """NAME.key and NAME.crt."""
    openssl("req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-keyout", folder / f"{name}.key", "-out",
            folder / f"{name}.crt", "-subj", f"/CN={name}", "-days", "30", *extra)


def cut(text, tag):
    start = text.index(f"<{tag}>")
    end = f"</{tag}>"
    return text[start:text.index(end, start) + len(end)]


def signed_text(manifest):
    text = manifest.read_text()
    return (cut(text, "machine_configuration") + cut(text, "image")).encode()


def check_signature(manifest, certificate, folder):
    signature = re.search(r"<signature>([0-9a-f]+)</signature>", manifest.read_text()).group(1)
    (folder / "signature").write_bytes(bytes.fromhex(signature))
    (folder / "public").write_bytes(openssl("x509", "-in", certificate, "-noout", "-pubkey"))
    assert b"Verified OK" in openssl("dgst", "-sha1", "-verify", folder / "public", "-signature",
                                     folder / "signature", data=signed_text(manifest))


def unwrap(image, name, key):
    text = openssl("pkeyutl", "-decrypt", "-inkey", key, "-pkeyopt", "rsa_padding_mode:pkcs1",
                   data=bytes.fromhex(image.findtext(name)))
    assert re.fullmatch(rb"[0-9a-f]{32}", text), text
    return text.decode()


def take_apart(manifest, key, who="user"):
    """(tar member, its bytes) of a bundle; all that the manifest says is checked."""
    image = ET.parse(manifest).getroot().find("image")
    encrypted = b""
    parts = image.find("parts")
    assert int(parts.get("count")) == len(parts)
    for index, part in enumerate(parts):
        data = (manifest.parent / part.findtext("filename")).read_bytes()
        assert int(part.get("index")) == index
        assert hashlib.sha1(data).hexdigest() == part.findtext("digest")
        assert len(data) == PART or (index == len(parts) - 1 and 0 < len(data) < PART)
        encrypted += data
    assert int(image.findtext("bundled_size")) == len(encrypted)
    plain = openssl("enc", "-d", "-aes-128-cbc", "-K", unwrap(image, f"{who}_encrypted_key", key), "-iv",
                    unwrap(image, f"{who}_encrypted_iv", key), data=encrypted)
    tar = gzip.decompress(plain)
    assert hashlib.sha1(tar).hexdigest() == image.findtext("digest")
    assert len(tar) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        member, = archive.getmembers()
        content = archive.extractfile(member).read()
    assert int(image.findtext("size")) == len(content)
    return member, content


def put_together(image, folder, tar="tar -c --owner=0 --group=0", quote="'", empty_part=False, pack="gzip"):
    """A bundle of an image by tar, gzip, openssl and split; keys are user.key and ec2.crt beside it."""
    name, base = image.name, image.parent
    key, iv = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
    folder.mkdir()
    script = f"""set -e -o pipefail
        {tar} -C {shlex.quote(str(base))} {name} >tar; sha1sum <tar | cut -c1-40 >digest
        {pack} <tar | openssl enc -e -aes-128-cbc -K {key} -iv {iv} | split -b {PART} -d -a 2 - {name}.part."""
    subprocess.run(["bash", "-c", script], cwd=folder, check=True)
    if empty_part:
        (folder / f"{name}.part.{len(list(folder.glob('*.part.*'))):02}").write_bytes(b"")
    parts = sorted(folder.glob(f"{name}.part.*"))

    def wrap(certificate, text):
        return openssl("pkeyutl", "-encrypt", "-certin", "-inkey", base / certificate, "-pkeyopt",
                       "rsa_padding_mode:pkcs1", data=text.encode()).hex()

    listed = "".join(f"<part index='{i}'><filename>{p.name}</filename><digest algorithm='SHA1'>"
                     f"{hashlib.sha1(p.read_bytes()).hexdigest()}</digest></part>"
                     for i, p in enumerate(parts))
    machine = "<machine_configuration><architecture>i386</architecture></machine_configuration>"
    described = (f"<image><name>{name}</name><user>111122223333</user><type>machine</type>"
                 f"<digest algorithm='SHA1'>{(folder / 'digest').read_text().strip()}</digest>"
                 f"<size>{image.stat().st_size}</size>"
                 f"<bundled_size>{sum(p.stat().st_size for p in parts)}</bundled_size>"
                 f"<ec2_encrypted_key algorithm='AES-128-CBC'>{wrap('ec2.crt', key)}</ec2_encrypted_key>"
                 f"<user_encrypted_key algorithm='AES-128-CBC'>{wrap('user.crt', key)}"
                 f"</user_encrypted_key><ec2_encrypted_iv>{wrap('ec2.crt', iv)}</ec2_encrypted_iv>"
                 f"<user_encrypted_iv>{wrap('user.crt', iv)}</user_encrypted_iv>"
                 f"<parts count='{len(parts)}'>{listed}</parts></image>").replace("'", quote)
    signature = openssl("dgst", "-sha1", "-sign", base / "user.key", data=(machine + described).encode())
    path = folder / f"{name}.manifest.xml"
    path.write_text(f"<?xml version='1.0'?><manifest><version>2007-10-10</version><bundler><name>other"
                    f"</name><version>1</version><release>1</release></bundler>{machine}{described}"
                    f"<signature>{signature.hex()}</signature></manifest>")
    return path


def sign_again(manifest, key, change):
    """What a hostile owner of the key would sign: the manifest with its image element changed."""
    text = manifest.read_text()
    changed = change(cut(text, "image"))
    text = text.replace(cut(text, "image"), changed)
    signature = openssl("dgst", "-sha1", "-sign", key, data=(cut(text, "machine_configuration") + changed).encode())
    manifest.write_text(re.sub("<signature>.*</signature>", f"<signature>{signature.hex()}</signature>", text))
