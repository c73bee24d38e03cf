"""Figures of reliability: crash points, simulated crashes, damaged folders and hostile files.

The cases are those of the tests, whose modules are imported from their folder.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
