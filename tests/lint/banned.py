#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions that the house does without: unbounded text, hidden state, time and environment below builder/."""
import re
import sys
from pathlib import Path

EVERYWHERE = {
    "sprintf": "snprintf or buf_addf", "vsprintf": "vsnprintf", "strcpy": "memcpy or buf",
    "strcat": "buf", "strncpy": "memcpy", "strncat": "buf", "gets": "file_read",
    "atoi": "num_parse", "atol": "num_parse", "atoll": "num_parse", "strtok": "strcspn",
    "alloca": "malloc", "mktemp": "atomic_file", "tmpnam": "atomic_file", "system": "posix_spawn",
    "popen": "posix_spawn", "localtime": "num_format_time", "ctime": "num_format_time",
    "asctime": "num_format_time", "setlocale": "nothing", "rand": "a value", "srand": "a value",
    "random": "a value",
}
BELOW_BUILDER = {
    "getenv": "an argument", "secure_getenv": "an argument", "time": "a clock argument",
    "gettimeofday": "a clock argument", "getrandom": "an argument",
}
NOT_IN_MAIN = {"exit": "an error", "abort": "an error"}

CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")
COMMENT_OR_TEXT = re.compile(r"/\*.*?\*/|\"(?:\\.|[^\"\\])*\"", re.S)


def strip(text):
    return COMMENT_OR_TEXT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def better_than(name, path):
    if name in EVERYWHERE:
        return EVERYWHERE[name]
    if name in BELOW_BUILDER and str(path) != "builder/context.c":
        return BELOW_BUILDER[name]
    if name in NOT_IN_MAIN and str(path) != "builder/main.c":
        return NOT_IN_MAIN[name]
    return None


def check(path, root):
    for number, line in enumerate(strip((root / path).read_text()).splitlines(), 1):
        for name in CALL.findall(line):
            better = better_than(name, path)
            if better:
                yield f"{path}:{number}: {name}() is not used here; take {better}"


def main():
    root = Path(__file__).resolve().parents[2]
    faults = []
    for layer in ("base", "fs", "formats", "uploader", "builder"):
        for path in sorted((root / layer).rglob("*.[ch]")):
            faults += check(path.relative_to(root), root)
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
