# SPDX-License-Identifier: Apache-2.0
"""The servers and tools of tests/integration."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
