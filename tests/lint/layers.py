#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom, and where each foreign library may be named (design: one direction of flow)."""
import re
import sys
from pathlib import Path

ALLOWED = {
    "base": {"base"},
    "fs": {"base", "fs"},
    "formats": {"base", "formats"},
    "uploader": {"base", "uploader"},
    "builder": {"base", "fs", "formats", "uploader", "builder"},
}

# Header prefix -> files that may name it.
FOREIGN = {
    r"(ext2fs|et)/": r"fs/ext4\w*\.[ch]",
    r"libfdisk/": r"fs/partition\w*\.[ch]",
    r"archive(_entry)?\.h": r"(fs/(tree_tar|initrd)\w*|formats/unpack)\.[ch]",
    r"sqfs/": r"fs/squashfs\w*\.[ch]",
    r"guestfs\.h": r"fs/guest\w*\.[ch]",
    r"curl/": r"uploader/http\w*\.[ch]",
    r"openssl/": r"base/(hash|crypto)\w*\.[ch]",
    r"jansson\.h": r"base/json\w*\.[ch]",
    r"libxml/": r"base/xmldoc\w*\.[ch]",
    r"microhttpd\.h": r"uploader/region/\w+\.[ch]",
    r"yaml\.h": r"builder/spec\w*\.[ch]",
    r"zlib\.h": r"formats/gunzip\w*\.[ch]",
    r"libdeflate\.h": r"formats/deflate\w*\.[ch]",
    r"zstd\.h": r"formats/zstd\w*\.[ch]",
    r"lzma\.h": r"formats/grub_core\w*\.[ch]",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def check(path, root):
    layer = path.parts[0]
    for number, line in enumerate((root / path).read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, name = match.groups()
        if kind == '"':
            target = name.split("/")[0]
            if target not in ALLOWED[layer]:
                yield f"{path}:{number}: {layer}/ may not include '{name}'"
            elif not (root / name).is_file():
                yield f"{path}:{number}: '{name}' is not a path from the project's root"
            continue
        for prefix, places in FOREIGN.items():
            if re.match(prefix, name) and not re.fullmatch(places, str(path)):
                yield f"{path}:{number}: <{name}> belongs in {places}"
            if re.match(prefix, name) and path.suffix == ".h" and "internal" not in path.name:
                yield f"{path}:{number}: a public header shows the foreign header <{name}>"


def main():
    root = Path(__file__).resolve().parents[2]
    faults = []
    for layer in ALLOWED:
        for path in sorted((root / layer).rglob("*.[ch]")):
            faults += check(path.relative_to(root), root)
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
