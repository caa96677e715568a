# SPDX-License-Identifier: Apache-2.0
"""Tables of an evaluation of QTMnet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..qtmnet_estimators import NETWORK, TITLES
from ..qtmnet_study import CLEAN, GUIDED, Row, values_of
from .study_tables import Table

PUBLISHED = {"asl-single": 25.15, "asl-multi-wd": 12.62, NETWORK: 7.04}
"""NRMSE of Hu et al. (arXiv 2311.10640) on their simulated brain, in percent."""

WORDS = {**TITLES, GUIDED: "multi-delay, T1 by tissue (asl-multi with fractions)"}


def in_order(rows: Sequence[Row], key: str) -> list[str]:
    """Return the different texts of a column in the order of their first row."""
    return list(dict.fromkeys(str(row[key]) for row in rows))


def brain_table(rows: Sequence[Row]) -> Table | None:
    """Return NRMSE of each brain without noise beside the published figures.

    Parameters
    ----------
    rows : sequence of dict
        All rows.

    Returns
    -------
    Table or None
        None when no brain was measured.
    """
    mine = [row for row in rows if row["part"] == "brain"]
    if not mine:
        return None
    subjects, conditions = in_order(mine, "subject"), in_order(mine, "condition")
    lines = []
    for method in in_order(mine, "method"):
        chosen = {"method": method, "condition": conditions[0], "measure": "nrmse_percent", "region": "all voxels"}
        values = [values_of(mine, subject=subject, **chosen) for subject in subjects]
        cells = [f"{value[0]:.2f}" if value else "-" for value in values]
        published = f"{PUBLISHED[method]:.2f}" if method in PUBLISHED else "-"
        lines.append([WORDS.get(method, method), published, *cells])
    note = (
        "NRMSE of CBF in percent over all voxels of the brain, 2 x 2 x 4 mm, without noise. Published: Hu et al., arXiv "
        "2311.10640, on their own simulated brain, which differs from these."
    )
    return Table("Simulated brains beside the published figures", note, ("Method", "Published", *subjects), lines)


def region_tables(rows: Sequence[Row], part: str) -> list[Table]:
    """Return NRMSE, bias and correlation by region, averaged over subjects, one table per condition.

    Parameters
    ----------
    rows : sequence of dict
        All rows.
    part : str
        ``brain`` or ``scan``.

    Returns
    -------
    list of Table
        Nothing when the part was not measured.
    """
    mine = [row for row in rows if row["part"] == part]
    tables = []
    for condition in in_order(mine, "condition"):
        here = [row for row in mine if row["condition"] == condition]
        regions, lines = in_order(here, "region"), []
        for method in in_order(here, "method"):
            cells = []
            for region in regions:
                found = [
                    values_of(here, method=method, region=region, measure=measure)
                    for measure in ("nrmse_percent", "bias", "correlation")
                ]
                cells.append(" / ".join(_mean(v, form) for v, form in zip(found, (".1f", "+.1f", ".3f"), strict=True)))
            lines.append([WORDS.get(method, method), *cells])
        note = "NRMSE in percent / bias in mL/100g/min / correlation; means over the simulated brains."
        tables.append(Table(f"Simulated brains: {condition}", note, ("Method", *regions), lines))
    return tables


def scan_table(rows: Sequence[Row]) -> Table | None:
    """Return what the methods say about a real scan.

    Parameters
    ----------
    rows : sequence of dict
        All rows.

    Returns
    -------
    Table or None
        None when there is no scan.
    """
    mine = [row for row in rows if row["part"] == "scan"]
    if not mine:
        return None
    regions, lines = in_order(mine, "region"), []
    unit = "mL/100g/min" if mine[0]["condition"] == "cbf" else "% of the brain's mean"
    for method in in_order(mine, "method"):
        cells = []
        for region in regions:
            mean = values_of(mine, method=method, region=region, measure="mean")
            apart = values_of(mine, method=method, region=region, measure="nrmse_percent")
            bias = values_of(mine, method=method, region=region, measure="bias")
            agree = values_of(mine, method=method, region=region, measure="correlation")
            words = f"{mean[0]:.1f}" if mean else "-"
            cells.append(f"{apart[0]:.1f} % apart, bias {bias[0]:+.1f}, r {agree[0]:.3f}" if apart else words)
        lines.append([WORDS.get(method, method), *cells])
    note = (
        f"Mean flow in {unit}. There is no truth here: the last row says how far QTMnet is from asl-multi, relative to asl-multi."
    )
    return Table("A real scan", note, ("Method", *regions), lines)


def cube_table(rows: Sequence[Row]) -> Table | None:
    """Return NRMSE on cubes by condition.

    Parameters
    ----------
    rows : sequence of dict
        All rows.

    Returns
    -------
    Table or None
        None when no cubes were measured.
    """
    mine = [row for row in rows if row["part"] == "cubes"]
    if not mine:
        return None
    methods = in_order(mine, "method")
    lines = []
    for condition in in_order(mine, "condition"):
        here = [row for row in mine if row["condition"] == condition]
        cells = [
            f"{_mean(values_of(here, method=method, measure='nrmse_percent'), '.1f')} "
            f"({_mean(values_of(here, method=method, measure='bias'), '+.1f')})"
            for method in methods
        ]
        lines.append([condition, here[0]["subject"], *cells])
    note = (
        "NRMSE in percent (bias in mL/100g/min) on cubes that no method was trained or tuned on. The linear regression was "
        f"learned from the network's own training cubes and is told the noise. '{CLEAN}': the settings of the training."
    )
    head = ("Condition", "Cubes", *(WORDS.get(method, method) for method in methods))
    return Table("Cubes of simulated vessels", note, head, lines)


def coverage_table(rows: Sequence[Row]) -> Table | None:
    """Return how often the truth lies within one standard error.

    Parameters
    ----------
    rows : sequence of dict
        All rows.

    Returns
    -------
    Table or None
        None when nothing was counted.
    """
    mine = [row for row in rows if row["measure"] == "coverage_68" and row["region"] == "all voxels"]
    if not mine:
        return None
    methods = in_order(mine, "method")
    lines = []
    for part in in_order(mine, "part"):
        for condition in in_order([row for row in mine if row["part"] == part], "condition"):
            cells = [_mean(values_of(mine, part=part, condition=condition, method=method), ".0f") for method in methods]
            lines.append([f"{part}: {condition}", *cells])
    note = "Share of voxels in percent whose truth lies within one standard error (cbf_sd); 68 is right."
    return Table("Standard errors", note, ("Condition", *(WORDS.get(method, method) for method in methods)), lines)


def _mean(values: Sequence[float], form: str) -> str:
    return format(float(np.mean(values)), form) if values else "-"
