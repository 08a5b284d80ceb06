# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: what goes to which stream, exit statuses, help, bad usage."""
import re
import subprocess

import pytest

COMMANDS = ["build", "publish", "inspect", "upload", "download", "register", "images", "serve", "version",
            "help"]

USAGE = [
    ((), "no command given"),
    (("biuld",), "unknown command 'biuld': did you mean 'build'"),
    (("frobnicate",), "'amiwright help' lists them"),
    (("--nonsense", "version"), "unknown option '--nonsense'"),
    (("build",), "'build' needs SPEC"),
    (("build", "a", "b"), "does not know what to do with 'b'"),
    (("build", "--outptu", "x", "a"), "did you mean '--output'"),
    (("build", "--format", "floppy", "a"), "it takes raw"),
    (("build", "-j", "0", "a"), "too small"),
    (("build", "-j", "many", "a"), "many"),
    (("version", "--quiet", "--verbose"), "exclude each other"),
    (("images", "--local", "x", "--profile", "y"), "leave out --profile"),
    (("register",), "needs --name"),
    (("register", "--name", "abc"), "needs --snapshot"),
    (("register", "--name", "abc", "--snapshot", "vol-1"), "no snapshot id"),
    (("register", "--name", "abc", "--map", "/dev/sdf"), "is not DEV=SNAP"),
    (("upload", "x", "--tag", "novalue"), "is not KEY=VALUE"),
    (("upload", "x", "--skip", "zeros", "--encrypt"), "does not go with encryption"),
    (("upload", "x", "--size", "1500M"), "whole GiB"),
    (("upload", "x", "--timeout", "5"), "too small"),
    (("help", "nothing"), "unknown command 'nothing'"),
    (("inspect", "--spec", "--image", "x"), "exclude each other"),
    (("images",), "no region"),
    (("images", "--region", "us-east-1"), "credentials"),
]


@pytest.mark.parametrize("args, words", USAGE, ids=[" ".join(a) or "nothing" for a, _ in USAGE])
def test_bad_usage(amiwright, tmp_path, args, words):
    env = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    result = amiwright(*args, status=2, env=env)
    assert result.stdout == ""
    assert result.stderr.startswith("amiwright: ") and words in result.stderr
    assert result.stderr.count("\n") == 1


def test_version(amiwright):
    result = amiwright("version")
    assert re.fullmatch(r"amiwright \d+\.\d+\.\d+\n", result.stdout) and result.stderr == ""
    assert amiwright.json("version")["version"] == result.stdout.split()[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(amiwright, command):
    overview = amiwright("help").stdout
    assert re.search(rf"^  {command} ", overview, re.M)
    first = amiwright("help", command)
    assert amiwright(command, "--help").stdout == first.stdout == amiwright("-h", command).stdout
    assert first.stderr == "" and f"usage: amiwright {command}" in first.stdout
    assert max(map(len, first.stdout.splitlines())) < 90
    assert "--region" in first.stdout


def test_overview_is_aligned(amiwright):
    commands = amiwright("help").stdout.split("commands:\n")[1].split("\n\n")[0].splitlines()
    assert len(commands) > 20
    assert {line[32] for line in commands} == {" "} and not any(line[33:34] == " " for line in commands)


def test_global_options_before_and_after(amiwright):
    assert amiwright("--json", "version").stdout == amiwright("version", "--json").stdout


def test_missing_files(amiwright):
    for args in (("build", "none.yaml"), ("inspect", "none.raw"), ("inspect", "none.yaml"),
                 ("upload", "none.raw", "--local", "region")):
        result = amiwright(*args, status=1)
        assert result.stdout == "" and "none." in result.stderr and "No such file" in result.stderr


def test_full_stdout_is_an_error(amiwright):
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run([amiwright.path, "version"], stdout=full, stderr=subprocess.PIPE, text=True,
                                check=False)
    assert result.returncode == 1 and "No space left" in result.stderr


def test_quiet_is_silent(amiwright, spec):
    assert amiwright("build", spec, "-q").stderr == ""
    assert "where time went" in amiwright("build", spec).stderr


def test_epoch(amiwright, spec):
    spec.write_text(spec.read_text().replace("epoch: 1735689600\n", ""))
    result = amiwright("build", spec, status=2)
    assert re.match(r".*tiny\.yaml:1:1: missing key 'epoch'", result.stderr)
    amiwright("build", spec, env={"SOURCE_DATE_EPOCH": "5"})
    assert "SOURCE_DATE_EPOCH" in amiwright("build", spec, status=2,
                                            env={"SOURCE_DATE_EPOCH": "now"}).stderr
