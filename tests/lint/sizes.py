#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hard limits of the house style: files of at most 700 lines, functions of at most 100, lines of 120."""
import sys
from pathlib import Path

FILE_LINES, FUNCTION_LINES, COLUMNS = 700, 100, 120
FOLDERS = ("base", "fs", "formats", "uploader", "builder", "tests")


def functions(lines):
    """(first, last, heading) of each body between a `{` and a `}` in column 0."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            yield start, number, lines[start - 2].strip()
            start = None


def check(path, name):
    lines = path.read_text().splitlines()
    if len(lines) > FILE_LINES:
        yield f"{name}:1: {len(lines)} lines; a file has at most {FILE_LINES}"
    for first, last, heading in functions(lines):
        if last - first - 1 > FUNCTION_LINES:
            yield f"{name}:{first}: '{heading}' has {last - first - 1} lines; at most {FUNCTION_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > COLUMNS:
            yield f"{name}:{number}: line of more than {COLUMNS} columns"


def main():
    root = Path(__file__).resolve().parents[2]
    faults = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[ch]")):
            faults += check(path, path.relative_to(root))
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
