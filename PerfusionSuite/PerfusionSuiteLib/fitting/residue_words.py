# SPDX-License-Identifier: Apache-2.0
"""What is told about the residues that a scan chose."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.watch import FitWatch

MEANING = "exponential decays at once, box holds until the end, and the larger K of gamma:K, the nearer it is to a box"


def tell_residues(watch: FitWatch, *families: str, against: Mapping[str, float] | None = None) -> None:
    """Note the residue of a scan, or those of gray and of white matter.

    Parameters
    ----------
    watch : FitWatch
        Takes the note.
    *families : str
        One, or those of gray and of white matter.
    against : mapping of str to float, optional
        What speaks against each family that was tried.
    """
    numbers = {f"against_{name}": value for name, value in (against or {}).items()}
    others = ", ".join(f"{name} {value:.2f}" for name, value in (against or {}).items())
    why = f" What speaks against others: {others}." if others else ""
    if len(families) == 1:
        text = f"The residue '{families[0]}' was chosen by the scan ({MEANING}).{why}"
        watch.note("residue_chosen", text, "Transit times and flow depend on it.", "info", **numbers)
        return
    gray, white = families
    text = f"Gray matter was fitted with the residue '{gray}', white matter with '{white}', by the static image ({MEANING}).{why}"
    watch.note("residues_by_tissue", text, "Set the method's option tissues to false to use one for all.", "info", **numbers)
