# SPDX-License-Identifier: Apache-2.0
"""What is wrong with key, certificate or command line is found from the spec alone, at its place in it."""
import subprocess

import pytest

SPEC = """\
name: x
version: "1"
architecture: x86_64
epoch: 1735689600
root:
  - remove: /nothing
disks:
  - device: /dev/xvda
    table: gpt
    partitions:
      - {name: esp, type: esp, filesystem: vfat, mount: /boot/efi, size: 64M}
      - {name: root, type: root, filesystem: ext4, mount: /, size: rest}
boot:
"""
KEY_LINE, CERTIFICATE_LINE, SIGN_LINE = 16, 17, 16


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """NAME.key and NAME.crt for good, other, short and ec; locked.key."""
    folder = tmp_path_factory.mktemp("keys")
    for name, kind in (("good", ["rsa:2048"]), ("other", ["rsa:2048"]), ("short", ["rsa:1024"]),
                       ("ec", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])):
        openssl(folder, "req", "-x509", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.crt")
    openssl(folder, "pkey", "-in", "good.key", "-aes256", "-passout", "pass:x", "-out", "locked.key")
    (folder / "folder").mkdir()
    return folder


def check(amiwright, keys, key, certificate):
    spec = amiwright.folder / "spec.yaml"
    spec.write_text(SPEC + f"  loader: uki\n  sign:\n    key: {keys / key}\n    certificate: {keys / certificate}\n")
    result = amiwright("build", spec, "-o", "o.raw", status=2)
    assert "remove" not in result.stderr, "work was begun: " + result.stderr
    assert not (amiwright.folder / "o.raw").exists()
    return result.stderr


@pytest.mark.parametrize("key,certificate,line,text", [
    ("good.key", "other.crt", SIGN_LINE, "other.crt' is not that of the key"),
    ("short.key", "short.crt", KEY_LINE, "has 1024 bits; UEFI wants 2048"),
    ("ec.key", "ec.crt", KEY_LINE, "is no RSA key"),
    ("locked.key", "good.crt", KEY_LINE, "is encrypted; give one without a passphrase"),
    ("good.crt", "good.crt", KEY_LINE, "good.crt' is no private key in PEM but a certificate"),
    ("good.key", "good.key", CERTIFICATE_LINE, "good.key' is no certificate in PEM but a private key"),
    ("none.key", "good.crt", KEY_LINE, "none.key': No such file"),
    ("folder", "good.crt", KEY_LINE, "folder' is no regular file: 'sign' needs a private key in PEM"),
    ("good.key", "/dev/zero", CERTIFICATE_LINE, "zero' is no regular file: 'sign' needs a certificate in PEM"),
])
def test_wrong_signers(amiwright, keys, key, certificate, line, text):
    error = check(amiwright, keys, key, certificate)
    assert f"spec.yaml:{line}:" in error and text in error, error
    assert error.count("spec.yaml:") == 1 and "directory layer" not in error, error


def test_both_wrong(amiwright, keys):
    error = check(amiwright, keys, "good.crt", "good.key")
    assert f"spec.yaml:{KEY_LINE}:" in error and f"spec.yaml:{CERTIFICATE_LINE}:" in error, error


@pytest.mark.parametrize("cmdline,text", [
    ('a="b', "a quote in the command line is not ended"), ("a\\\\b", "GRUB cannot hand"), ("a='b'", "GRUB cannot hand")])
def test_command_lines_that_grub_cannot_pass(amiwright, cmdline, text):
    spec = amiwright.folder / "spec.yaml"
    quoted = cmdline.replace('"', '\\"')
    spec.write_text(SPEC + f'  loader: grub\n  cmdline: "{quoted}"\n')
    error = amiwright("build", spec, "-o", "o.raw", status=2).stderr
    assert "spec.yaml:15:12: " in error and error.count(text) == 1, error
    assert "could not start" not in error
