# SPDX-License-Identifier: Apache-2.0
"""The tables of an evaluation of fitted DSC patients for a reader, and the LaTeX ones of the published evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core.quantities import QUANTITIES
from ..hemopic_reconstruction import REGIONS, Reconstruction
from .hemopic_pictures import source_words
from .neural_tables import number
from .study_tables import MISSING, Table

_CURVE_WORDS = {"rmse": "RMSE", "nrmse": "nRMSE", "nmse": "NMSE"}


def detection_table(summary: Sequence[Mapping[str, Any]], *, published: bool) -> Table:
    """Set lesion detection of all maps side by side.

    Parameters
    ----------
    summary : sequence of mapping
        From `cohort_summary`.
    published : bool
        Which definitions the numbers follow.

    Returns
    -------
    Table
        One row per source and map.
    """
    rows = []
    for row in summary:
        cells = [str(row.get("n", 0)), _with_limits(row, "auc_mean"), *(_cell(row, name) for name in ("auc_std", "auc_median"))]
        cells += [f"{_cell(row, 'auc_min')}–{_cell(row, 'auc_max')}", _with_limits(row, "ap_mean"), _cell(row, "ap_median")]
        rows.append([_map_words(row), *cells])
    note = (
        "Each map on its own positive voxels, as published; sources are then judged on different voxels."
        if published
        else "All maps of a patient on the same voxels, zeros kept; a second entry of one subject does not count."
    )
    head = ("Map", "Patients", "AUC, mean (95 %)", "SD", "median", "range", "AP, mean (95 %)", "AP, median")
    return Table("Lesion detection, patient by patient", f"{note} Intervals from resampled patients.", head, rows)


def difference_table(differences: Sequence[Mapping[str, Any]]) -> Table:
    """Say who is better on the same patients.

    Parameters
    ----------
    differences : sequence of mapping
        From `cohort_differences`.

    Returns
    -------
    Table
        One row per map, source and number.
    """
    rows = []
    for row in differences:
        words = "AUC" if row["value"] == "roc_auc" else "AP"
        name = f"{QUANTITIES[str(row['metric'])].symbol}, {words}: {source_words(row['method'])} − {source_words(row['base'])}"
        limits = [_between(*(number(row[f"{at}{end}"], "+.3f") for end in ("", "_low", "_high"))) for at in ("mean", "median")]
        rows.append([name, str(row["n"]), *limits, f"{row['wins']} / {row['losses']}", number(row["p_wilcoxon"], ".2g")])
    head = ("Difference", "Patients", "mean (95 %)", "median (95 %)", "better / worse", "p")
    note = (
        "Positive: the first one finds the lesion better. Wilcoxon's signed-rank test across patients, two-sided, not corrected."
    )
    return Table("Lesion detection, differences on the same patients", note, head, rows)


def pooled_table(pooled: Sequence[Mapping[str, Any]]) -> Table:
    """Set lesion detection on all voxels together.

    Parameters
    ----------
    pooled : sequence of mapping
        From `pooled_rows`.

    Returns
    -------
    Table
        One row per source and map.
    """
    rows = [
        [
            _map_words(r),
            str(r["n_eval_voxels"]),
            str(r["n_lesion_voxels"]),
            number(r["roc_auc"], ".3f"),
            number(r["average_precision"], ".4f"),
        ]
        for r in pooled
    ]
    head = ("Map", "voxels", "of lesion", "AUC", "AP")
    return Table("Lesion detection, voxels of all patients together", "Large brains and large lesions decide it.", head, rows)


def check_table(agreement: Sequence[Mapping[str, Any]]) -> Table:
    """Say how well both sides of the central-volume check agree.

    Parameters
    ----------
    agreement : sequence of mapping
        From `agreement_rows`.

    Returns
    -------
    Table
        One row per region.
    """
    rows = []
    for row in agreement:
        limits = [_cell(row, f"concordance{end}", ".2f") for end in ("", "_low", "_high")]
        lin = _between(*limits)
        agreed = [_cell(row, name, ".2f") for name in ("limits_low_s", "limits_high_s")]
        between = MISSING if MISSING in agreed else " to ".join(agreed)
        cells = [_cell(row, "pearson", ".2f"), _cell(row, "spearman", ".2f"), lin, _cell(row, "bias_s", "+.2f"), between]
        rows.append([str(row["region"]), str(row["n"]), *cells, _cell(row, "slope", ".2f")])
    head = ("Region", "Patients", "Pearson", "Spearman", "Lin (95 %)", "bias, s", "limits of agreement, s", "slope")
    note = (
        "Mean transit time of deconvolution against 60 CBV / CBF of the fit. A fit that was drawn towards the deconvolution maps "
        "agrees with them by construction; then this shows consistency and is no independent law."
    )
    return Table("Central-volume check", note, head, rows)


def contrast_table(cohort: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """Say which maps show a contrast across patients.

    Parameters
    ----------
    cohort : mapping of str to sequence of mapping
        From `cohort_contrasts`, by table.

    Returns
    -------
    Table
        One row per map and pair of regions.
    """
    words = {"lesion": "lesion / opposite side", "gmwm": "white / gray matter"}
    rows = []
    for table, found in cohort.items():
        for row in found:
            ratio = [number(float(np.exp(row[name])), ".2f") for name in ("mean", "mean_low", "mean_high")]
            cells = [str(row["n"]), _between(*ratio), f"{row['losses']} / {row['wins']}"]
            rows.append([f"{words[table]}: {row['metric'].replace('_', ' ')}", *cells, number(row["p_wilcoxon"], ".2g")])
    head = ("Ratio of means", "Patients", "geometric mean (95 %)", "below / above 1", "p")
    return Table("Contrasts", "Across patients: Wilcoxon's signed-rank test of the logarithm, two-sided.", head, rows)


def curve_table(found: Sequence[Reconstruction]) -> Table:
    """Say how well curves are reproduced.

    Parameters
    ----------
    found : sequence of Reconstruction
        Of all patients.

    Returns
    -------
    Table
        One row per region: means over patients.
    """
    names = [name for name in ("nrmse", "nmse", "held_out_nrmse", "held_out_nmse", "interpolation_nrmse") if _has(found, name)]
    words = {
        "nrmse": "nRMSE", "nmse": "NMSE", "held_out_nrmse": "nRMSE, frames left out", "held_out_nmse": "NMSE, frames left out",
        "interpolation_nrmse": "nRMSE of lines between kept frames",
    }  # fmt: skip
    rows = []
    for region in REGIONS:
        own = [row for one in found for row in one.rows if row["region"] == region]
        if own:
            rows.append([region, str(len(own)), *(number(float(np.nanmean([r[n] for r in own])), ".4f") for n in names)])
    return Table("Reproduction of curves", "Means over patients.", ("Region", "Patients", *(words[n] for n in names)), rows)


def tau_table(quantiles: Sequence[Mapping[str, Any]]) -> Table:
    """Give the quantiles of the time constants.

    Parameters
    ----------
    quantiles : sequence of mapping
        From `quantile_rows`.

    Returns
    -------
    Table
        One row per group.
    """
    names = ("q25", "q40", "q50", "q60", "q75", "wmean")
    rows = [[str(row["group"]), str(row["n"]), *(_cell(row, name, ".2f") for name in names)] for row in quantiles]
    note = "Seconds, weighted by voxels. A parameter of the shape of a curve, not a resistance times a compliance of vessels."
    return Table("Time constants", note, ("Group", "regions", *names[:-1], "mean"), rows)


def time_table(quantiles: Sequence[Mapping[str, Any]]) -> Table:
    """Give the quantiles of transit times and delays of regions.

    Parameters
    ----------
    quantiles : sequence of mapping
        From `time_quantiles`.

    Returns
    -------
    Table
        One row per quantity and group.
    """
    names = ("q25", "q40", "q50", "q60", "q75", "wmean")
    rows = []
    for row in quantiles:
        words = f"{QUANTITIES[str(row['quantity'])].symbol}, {row['group']}"
        rows.append([words, str(row["n"]), *(_cell(row, name, ".2f") for name in names)])
    note = "Seconds, weighted by voxels. Without an artery a delay is counted from the mean arrival at early normal tissue."
    return Table("Transit times and delays of regions", note, ("Group", "regions", *names[:-1], "mean"), rows)


def skipped_table(skipped: Sequence[tuple[str, str, str]]) -> Table:
    """List what could not be done.

    Parameters
    ----------
    skipped : sequence of tuple of str
        Patient, part, reason.

    Returns
    -------
    Table
        One row each.
    """
    rows = [[patient, part, reason] for patient, part, reason in skipped]
    return Table("Left out", "They are in no other table.", ("Patient", "Part", "Why"), rows)


def latex_table(found: Sequence[Reconstruction], name: str) -> str:
    """Write one of the three LaTeX tables of the published curve evaluation.

    Parameters
    ----------
    found : sequence of Reconstruction
        Of all patients.
    name : {"rmse", "nrmse", "nmse"}
        Which number.

    Returns
    -------
    str
        N, mean, standard deviation (n - 1), median and quartiles with four decimals, a row per region.
    """
    lines = [r"\begin{tabular}{lrrrrrr}", r"\hline"]
    lines += [f"{_CURVE_WORDS[name]} & N & mean & std & median & q25 & q75 " + r"\\", r"\hline"]
    for region in REGIONS:
        values = np.array([row[name] for one in found for row in one.rows if row["region"] == region], float)
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        spread = values.std(ddof=1) if values.size > 1 else float("nan")
        low, middle, high = np.percentile(values, [25.0, 50.0, 75.0])
        numbers = " & ".join(f"{x:.4f}" for x in (values.mean(), spread, middle, low, high))
        name_of_region = region.replace("_", r"\_")
        lines.append(f"{name_of_region} & {values.size} & {numbers} " + r"\\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _has(found: Sequence[Reconstruction], name: str) -> bool:
    return any(np.isfinite(row.get(name, np.nan)) for one in found for row in one.rows)


def _map_words(row: Mapping[str, Any]) -> str:
    return f"{QUANTITIES[str(row['metric'])].symbol}, {source_words(str(row['method']))}"


def _with_limits(row: Mapping[str, Any], name: str) -> str:
    return _between(*(_cell(row, f"{name}{end}") for end in ("", "_low", "_high")))


def _between(value: str, low: str, high: str) -> str:
    return value if MISSING in (low, high) else f"{value} ({low} to {high})"


def _cell(row: Mapping[str, Any], name: str, form: str = ".3f") -> str:
    value = row.get(name)
    return number(float("nan") if value is None else float(value), form)
