#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every option and command that the program knows is in amiwright(1), and the other way round."""
import re
import subprocess
import sys
from pathlib import Path

OPTION = re.compile(r"--[a-z][a-z0-9-]+")


def program_options(program):
    """Options by command, from the program's own help."""
    listing = subprocess.run([program, "help"], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  ([a-z-]+)  ", listing, re.M)
    found = {"": set(OPTION.findall(listing))}
    for command in commands:
        text = subprocess.run([program, "help", command], capture_output=True, text=True, check=True)
        found[command] = set(OPTION.findall(text.stdout))
    return found


def main():
    root = Path(__file__).resolve().parents[2]
    page = (root / "docs/man/amiwright.1").read_text().replace("\\-", "-")
    found = program_options(sys.argv[1])
    faults = [f"amiwright.1: no word of the command '{c}'" for c in found
              if c and not re.search(rf"^\.S[SH] .*\b{c}\b", page, re.M | re.I)]
    known = set().union(*found.values())
    written = set(OPTION.findall(page))
    faults += [f"amiwright.1: no word of {o}" for o in sorted(known - written)]
    faults += [f"amiwright.1: {o} is not an option of the program" for o in sorted(written - known)]
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
