# SPDX-License-Identifier: Apache-2.0
"""Seeds of published figures: drawn from the measured commit, so that nobody can tune to them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEVELOPMENT_SEEDS_BELOW = 1000


def commit_id() -> str:
    """Return the id of the checked-out commit, with ``+changes`` when the tree differs from it."""
    run = ["git", "-C", str(ROOT)]
    head = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*run, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout.strip()
    return head + ("+changes" if changed else "")


def figure_seeds(count: int, commit: str | None = None) -> list[int]:
    """Draw seeds of 1000 and above from the SHA-256 of the commit's id.

    Parameters
    ----------
    count : int
        How many.
    commit : str, optional
        The commit's id; by default the one that is checked out.

    Returns
    -------
    list of int
        Seeds, the same for the same commit.
    """
    name = (commit or commit_id()).removesuffix("+changes")
    digests = (hashlib.sha256(f"{name}/{n}".encode()).digest() for n in range(count))
    return [DEVELOPMENT_SEEDS_BELOW + int.from_bytes(digest[:4], "big") for digest in digests]
