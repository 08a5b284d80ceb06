# SPDX-License-Identifier: Apache-2.0
"""An image whose bits are pinned: the manifest that is kept in tests/golden has the digest of each block, so a change of
layout shows as a readable difference. After a wanted change: AMIWRIGHT_GOLDEN=update make check-integration."""
import json
import os
import subprocess
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def test_inline_image(tmp_path):
    image = tmp_path / "golden.raw"
    env = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    subprocess.run([os.environ["AMIWRIGHT"], "build", "-q", GOLDEN / "inline.yaml", "-o", image],
                   check=True, env=env, stdout=subprocess.DEVNULL)
    made = Path(f"{image}.manifest.json").read_text()
    kept = GOLDEN / "inline.manifest.json"
    if os.environ.get("AMIWRIGHT_GOLDEN") == "update":
        kept.write_text(made)
    assert json.loads(made) == json.loads(kept.read_text())
