# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of bundles: what openssl makes is taken, what would make a bad bundle is told at once."""
import base64
import os
import subprocess

import pytest

import bundle_oracle as oracle


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(range(256)) * 4096)
    return path


def test_keys_that_are_not_rsa(amiwright, keys, image, tmp_path):
    oracle.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "ec.key")
    failed = amiwright("bundle", "disk.img", *keys, "--key", "ec.key", status=1)
    assert "no RSA key" in failed.stderr


def test_certificates_whose_time_is_over(amiwright, keys, image, tmp_path):
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca/index").touch()
    (tmp_path / "ca/conf").write_text("[ca]\ndefault_ca=c\n[c]\ndatabase=ca/index\nrand_serial=yes\nnew_certs_dir=ca\n"
                                      "default_md=sha1\npolicy=p\n[p]\ncommonName=supplied\n")
    oracle.openssl("req", "-new", "-key", tmp_path / "user.key", "-subj", "/CN=old", "-out", tmp_path / "old.csr")
    subprocess.run(["openssl", "ca", "-batch", "-selfsign", "-config", "ca/conf", "-keyfile", "user.key", "-in",
                    "old.csr", "-out", "old.crt", "-startdate", "050809000000Z", "-enddate", "060809000000Z",
                    "-notext"], cwd=tmp_path, check=True, capture_output=True)
    result = amiwright("bundle", "disk.img", *keys, "--cert", "old.crt")
    assert "has expired (2006-08-09" in result.stderr
    oracle.check_signature(tmp_path / "out/disk.img.manifest.xml", tmp_path / "old.crt", tmp_path)


def test_encrypted_keys(amiwright, keys, image, tmp_path):
    oracle.openssl("rsa", "-aes128", "-in", tmp_path / "user.key", "-out", tmp_path / "locked.key", "-passout",
                   "pass:open sesame")
    (tmp_path / "pass").write_text("open sesame\nsecond line\n")
    (tmp_path / "wrong").write_text("sesame\n")
    (tmp_path / "empty").write_text("\n")
    locked = [*keys, "--key", "locked.key"]
    asked = amiwright("bundle", "disk.img", *locked, status=2, start_new_session=True)
    assert "--key-pass-file" in asked.stderr
    assert "passphrase is wrong" in \
        amiwright("bundle", "disk.img", *locked, "--key-pass-file", "wrong", status=1).stderr
    assert "is empty" in amiwright("bundle", "disk.img", *locked, "--key-pass-file", "empty", status=1).stderr
    amiwright("bundle", "disk.img", *locked, "--key-pass-file", "pass")
    amiwright("unbundle", "out/disk.img.manifest.xml", "--key", "locked.key", "--key-pass-file", "pass", "--out",
              "b")


def at_the_prompt(amiwright, keys, tmp_path, typed):
    """(exit status, all that the terminal showed) when that is typed at the prompt of an encrypted key."""
    oracle.openssl("pkcs8", "-topk8", "-in", tmp_path / "user.key", "-out", tmp_path / "locked.key", "-passout",
                   "pass:open sesame")
    pid, terminal = os.forkpty()
    if not pid:
        os.chdir(tmp_path)
        os.execve(amiwright.path, ["amiwright", "bundle", "disk.img", *keys, "--key", "locked.key"],
                  amiwright.env)
    seen = b""
    while b"Passphrase" not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, typed)
    try:
        while more := os.read(terminal, 1000):
            seen += more
    except OSError:
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def test_a_passphrase_is_asked_on_the_terminal(amiwright, keys, image, tmp_path):
    status, seen = at_the_prompt(amiwright, keys, tmp_path, b"open sesame\n")
    assert status == 0, seen
    assert b"open sesame" not in seen and b"disk.img.manifest.xml" in seen


@pytest.mark.parametrize("typed,status", [(b"\x03", 130), (b"\x04", 1), (b"sesame\n", 1)])
def test_a_passphrase_is_asked_once(amiwright, keys, image, tmp_path, typed, status):
    found, seen = at_the_prompt(amiwright, keys, tmp_path, typed)
    assert (found, seen.count(b"Passphrase of")) == (status, 1), seen


def test_other_security_levels(amiwright, keys, image, tmp_path):
    """A machine whose configuration forbids SHA-1 and short keys."""
    conf = tmp_path / "openssl.cnf"
    conf.write_text("openssl_conf=a\n[a]\nssl_conf=b\nalg_section=e\n[b]\nsystem_default=c\n[c]\n"
                    "CipherString=DEFAULT@SECLEVEL=5\n[e]\nrh-allow-sha1-signatures=no\n")
    amiwright("bundle", "disk.img", *keys, env={"OPENSSL_CONF": str(conf)})
    oracle.check_signature(tmp_path / "out/disk.img.manifest.xml", tmp_path / "user.crt", tmp_path)


def test_known_certificates_of_ec2_are_named(amiwright, keys, image):
    """The fingerprints are the ones that the tools' packages have; a strange one gets a note."""
    assert "none of the certificates of EC2" in amiwright("bundle", "disk.img", *keys).stderr


def encode(tag, content):
    """DER."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82, size >> 8, size & 255])
    return bytes([tag]) + length + content


def write_pem(path, label, der):
    path.write_text(f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n")


def test_a_damaged_key_signs_nothing(amiwright, keys, image, tmp_path):
    """Its public half is that of the certificate, the private one is not: openssl signs with it without complaint."""
    text = oracle.openssl("rsa", "-in", tmp_path / "user.key", "-traditional").decode()
    (tmp_path / "plain.key").write_text(text)
    listing = oracle.openssl("asn1parse", "-in", tmp_path / "plain.key").decode().splitlines()
    numbers = [int(line.rpartition(":")[2], 16) for line in listing if "INTEGER" in line]
    for i in (3, 4, 6):  # d, p, dP
        numbers[i] += 2
    write_pem(tmp_path / "bad.key", "RSA PRIVATE KEY", encode(0x30, b"".join(
        encode(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers)))
    (tmp_path / "bad.key").chmod(0o600)
    failed = amiwright("bundle", "disk.img", *keys, "--key", "bad.key", status=1)
    assert "'bad.key' is damaged" in failed.stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("exponent", ["0203000001", "0203010000"])
def test_a_certificate_that_would_give_the_key_away(amiwright, keys, image, tmp_path, exponent):
    """An exponent of 1 would leave the bundle's key in clear in the manifest; with an even one nobody reads it."""
    der = oracle.openssl("x509", "-in", tmp_path / "ec2.crt", "-outform", "DER")
    assert der.count(bytes.fromhex("0203010001")) == 1
    write_pem(tmp_path / "ec2.crt", "CERTIFICATE", der.replace(bytes.fromhex("0203010001"), bytes.fromhex(exponent)))
    assert "exponent" in amiwright("bundle", "disk.img", *keys, status=1).stderr
    assert not list((tmp_path / "out").iterdir())


def test_other_forms_are_told(amiwright, keys, image, tmp_path):
    """What people have instead of PEM, and what helps."""
    key, certificate = tmp_path / "user.key", tmp_path / "user.crt"
    oracle.openssl("pkey", "-in", key, "-outform", "DER", "-out", tmp_path / "der.key")
    oracle.openssl("x509", "-in", certificate, "-outform", "DER", "-out", tmp_path / "der.crt")
    oracle.openssl("pkey", "-in", key, "-pubout", "-out", tmp_path / "public")
    (tmp_path / "ssh.key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "cut.key").write_text(key.read_text()[:500])
    (tmp_path / "cut.crt").write_text(certificate.read_text()[:500])
    for change, says in ((["--key", "der.key"], "openssl pkey -inform DER"), (["--key", "public"], "but a public key"),
                         (["--cert", "der.crt"], "openssl x509 -inform DER"), (["--key", "ssh.key"], "ssh-keygen -p"),
                         (["--key", "cut.key"], "no private key in PEM that is whole"),
                         (["--cert", "cut.crt"], "no certificate in PEM that is whole")):
        assert says in amiwright("bundle", "disk.img", *keys, *change, status=1).stderr


def test_what_else_a_file_may_hold(amiwright, keys, image, tmp_path):
    """A certificate with its chain, with its key, with trust settings; EC2's of 1024 bits with one of 4096."""
    both = (tmp_path / "user.crt").read_text() + (tmp_path / "ec2.crt").read_text()
    (tmp_path / "chain.crt").write_text(both)
    (tmp_path / "all.pem").write_text((tmp_path / "user.key").read_text() + both)
    oracle.openssl("x509", "-in", tmp_path / "user.crt", "-trustout", "-addtrust", "clientAuth", "-out",
                   tmp_path / "trusted.crt")
    for change in (["--cert", "chain.crt"], ["--cert", "all.pem", "--key", "all.pem"], ["--cert", "trusted.crt"]):
        amiwright("bundle", "disk.img", *keys, *change, "--force")
        oracle.check_signature(tmp_path / "out/disk.img.manifest.xml", tmp_path / "user.crt", tmp_path)
    oracle.make_pair(tmp_path, "long", bits=4096)
    amiwright("bundle", "disk.img", *keys, "--key", "long.key", "--cert", "long.crt", "--force")
    content = oracle.take_apart(tmp_path / "out/disk.img.manifest.xml", tmp_path / "long.key")[1]
    assert content == image.read_bytes()


def test_keys_that_openssl_cannot_decrypt_any_more(amiwright, keys, image, tmp_path):
    (tmp_path / "pass").write_text("open sesame\n" + "what stands behind the first line does not matter\n" * 100)
    command = ["openssl", "pkcs8", "-topk8", "-v1", "PBE-MD5-DES", "-provider", "legacy", "-provider", "default",
               "-in", "user.key", "-out", "old.key", "-passout", "file:pass"]
    if subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("this openssl cannot make such a key")
    locked = [*keys, "--key", "old.key", "--key-pass-file", "pass"]
    assert "no longer offers: 'openssl pkcs8" in amiwright("bundle", "disk.img", *locked, status=1).stderr
    subprocess.run(["openssl", "pkcs8", "-topk8", "-provider", "legacy", "-provider", "default", "-in", "old.key",
                    "-passin", "file:pass", "-passout", "pass:open sesame", "-out", "new.key"],
                   cwd=tmp_path, check=True)
    amiwright("bundle", "disk.img", *locked, "--key", "new.key")


def test_a_key_that_everybody_may_read(amiwright, keys, image, tmp_path):
    (tmp_path / "user.key").chmod(0o600)
    assert "chmod" not in amiwright("bundle", "disk.img", *keys).stderr
    (tmp_path / "user.key").chmod(0o644)
    assert "chmod 600" in amiwright("bundle", "disk.img", *keys, "--force").stderr
