# SPDX-License-Identifier: Apache-2.0
"""Being nobody for one command: tests that run as root check what an ordinary user gets."""
import os
import shutil
import subprocess
import tempfile

NOBODY = 65534
PREFIX = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def open_way(folder):
    """Lets others enter a test's folder, which pytest keeps for its user, and its workers' folders."""
    for part in [folder, *folder.parents]:
        if str(part) == tempfile.gettempdir():
            break
        if part.stat().st_mode & 0o055 != 0o055 and part.stat().st_uid == os.getuid():
            part.chmod(part.stat().st_mode | 0o055)


def reachable(path, folder):
    """The file itself when nobody may read it, else a copy in folder: a checkout may be in a closed home."""
    probe = subprocess.run([*PREFIX, "test", "-r", path], check=False)
    if probe.returncode == 0:
        return str(path)
    copy = folder / os.path.basename(path)
    shutil.copy(path, copy)
    copy.chmod(0o755)
    return str(copy)
