"""Lets the tests of this folder import the module beside them, whatever import mode pytest runs in."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
