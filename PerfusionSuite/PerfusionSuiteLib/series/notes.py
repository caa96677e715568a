# SPDX-License-Identifier: Apache-2.0
"""What reading decided and noticed, collected on the way to `Source`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.findings import QualityFinding, Severity

GIVE_INTERVAL = "Give the interval between frames in seconds (interval_s=1.5 in Python, --interval 1.5 on the command line)."
"""What to do about a scan without frame times."""


@dataclass(slots=True)
class Notes:
    """Collects sentences; none may contain an identifier of a patient.

    Parameters
    ----------
    decisions : list of str
        What was decided.
    findings : list of QualityFinding
        What was odd.
    """

    decisions: list[str] = field(default_factory=list)
    findings: list[QualityFinding] = field(default_factory=list)

    def decide(self, sentence: str) -> None:
        """Note a decision once.

        Parameters
        ----------
        sentence : str
            One sentence.
        """
        if sentence not in self.decisions:
            self.decisions.append(sentence)

    def find(self, code: str, severity: Severity, message: str, advice: str = "") -> None:
        """Note something odd.

        Parameters
        ----------
        code, severity, message, advice : str
            See `QualityFinding`.
        """
        self.findings.append(QualityFinding(code, severity, message, advice))

    def other_interval(self, where: str, found_s: float, given_s: float | None) -> None:
        """Note that a given interval was not used, since the files say another one.

        Parameters
        ----------
        where : str
            What says it, such as ``the files say``.
        found_s : float, s
            Typical time between frames.
        given_s : float, s, optional
            What the user gave.
        """
        if given_s is not None and abs(found_s - given_s) > 0.05 * given_s:
            message = f"The given interval of {given_s:g} s was not used: {where} {found_s:.3g} s."
            self.find("interval_differs", "warning", message, "Check which of the two is right.")
