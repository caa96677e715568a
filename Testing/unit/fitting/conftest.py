# SPDX-License-Identifier: Apache-2.0
"""Puts the examples of this folder on the path, which importlib mode does not do."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
