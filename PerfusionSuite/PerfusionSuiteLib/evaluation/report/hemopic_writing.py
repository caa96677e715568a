# SPDX-License-Identifier: Apache-2.0
"""Write an evaluation of fitted DSC patients: the published files, and one page with everything."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.files import write_json, write_text
from ...results.pictures.canvas import save
from ...results.tables import write_rows
from ...results.template import has_templates, rendered
from .. import (
    hemopic_contrasts,
    hemopic_discrimination,
    hemopic_physical,
    hemopic_reconstruction,
    hemopic_tau,
    hemopic_volume_check,
)
from ..hemopic_discrimination_cohort import best_of_each, cohort_differences, cohort_summary, published_summary, split_summary
from ..hemopic_study import HemopicDesign, HemopicFindings
from . import hemopic_pictures, hemopic_tables
from .study_tables import Table, as_markdown
from .writing import data_uri

CURVE_FILES = {"GM": "gm", "WM": "wm", "lesion": "lesion", "c_lesion": "c_lesion", "full_brain": "full"}


class HemopicReport:
    """Writes the files of an evaluation and gathers what the page shows.

    Parameters
    ----------
    found : HemopicFindings
        What was measured.
    design : HemopicDesign
        What was asked for.
    out : Path
        Folder.
    stamp : str
        Date and time as ``YYYYMMDD_HHMMSS`` for the folders that the published program names so.
    """

    def __init__(self, found: HemopicFindings, design: HemopicDesign, out: Path, stamp: str) -> None:
        self.found, self.design, self.out, self.stamp = found, design, out, stamp
        self.published = design.definitions == "published"
        self.tables: list[Table] = []
        self.pictures: list[tuple[Path, str]] = []
        self._draws = importlib.util.find_spec("matplotlib") is not None

    def write(self) -> str:
        """Write everything.

        Returns
        -------
        str
            The tables as text.
        """
        writers = {
            "roc": self._detection, "cvt": self._check, "summary": self._contrasts, "curves": self._curves, "tau": self._tau,
        }  # fmt: skip
        for part, writer in writers.items():
            if part in self.design.parts:
                writer()
        if self.found.skipped:
            self.tables.append(hemopic_tables.skipped_table(self.found.skipped))
        self.pictures += [(path, f"Slice of {path.parent.name}") for path in sorted(self.out.glob("slices/*/panel.png"))[:4]]
        write_json(self.out / "manifest.json", self._manifest())
        facts = self._facts()
        heading = "Evaluation of fitted DSC patients"
        lines = "\n".join(f"* {label}: {value}" for label, value in facts)
        text = f"# {heading}\n\n{lines}\n\n{as_markdown(self.tables)}"
        write_text(self.out / "summary.md", text)
        if has_templates():
            shown = [{"title": title, "uri": data_uri(path)} for path, title in self.pictures]
            page = rendered(
                "study.html.j2", facts=facts, tables=self.tables, pictures=shown, heading=heading, leading=2, sub=_SUBTITLE
            )
            write_text(self.out / "report.html", page)
        return as_markdown(self.tables)

    def _draw(self, figure: Callable[[], Any], path: Path, title: str) -> None:
        if self._draws:
            self.pictures.append((save(figure(), path), title))

    def _detection(self) -> None:
        rows, out = self.found.metrics, self.out / "roc"
        if not rows:
            return
        columns = hemopic_discrimination.COLUMNS if self.published else hemopic_discrimination.CORRECTED_COLUMNS
        write_rows(out / "all_patient_metrics.csv", rows, columns)
        failures = [f"patient {patient}: {part}: {reason}" for patient, part, reason in self.found.skipped if part != "note"]
        write_text(out / "failures.txt", "\n".join([*failures, ""]))
        pooled = hemopic_discrimination.pooled_rows(self.found.pooled)
        if not self.published:
            for row in pooled:
                del row["pr_auc_trapezoid"]
        write_rows(out / "pooled_voxel_results" / "pooled_voxel_metrics.csv", pooled)
        summary = cohort_summary(rows)
        differences = cohort_differences(rows, base=self.design.base)
        if self.published:
            write_rows(out / "summary_patient_mean_metrics.csv", published_summary(rows))
        else:
            write_rows(out / "summary_patient_mean_metrics.csv", summary)
            write_rows(out / "paired_differences.csv", differences)
            if halves := split_summary(rows):
                write_rows(out / "summary_odd_and_even_ids.csv", halves)
            write_rows(out / "maps_of_one_source.csv", best_of_each(rows))
        self.tables.append(hemopic_tables.detection_table(summary, published=self.published))
        if differences:
            self.tables.append(hemopic_tables.difference_table(differences))
        self.tables.append(hemopic_tables.pooled_table(pooled))
        self._draw(lambda: hemopic_pictures.draw_cohort(summary), out / "cohort.png", "Lesion detection of each map")

    def _check(self) -> None:
        points, out = self.found.points, self.out / "cvt"
        if not points:
            return
        extra = () if self.published else ("x_data_ratio",)
        write_rows(out / "tables" / "points.csv", points, (*hemopic_volume_check.COLUMNS, *extra))
        picture = "Central-volume check: transit time of deconvolution against 60 CBV / CBF of the fit"
        draw = hemopic_pictures.draw_volume_check
        self._draw(lambda: draw(points, published=self.published), out / "figures" / "row.png", picture)
        if not self.published:
            agreement = hemopic_volume_check.agreement_rows(points)
            write_rows(out / "tables" / "agreement.csv", agreement)
            self.tables.append(hemopic_tables.check_table(agreement))
            title = "Central-volume check: bias and limits of agreement"
            self._draw(lambda: hemopic_pictures.draw_bland_altman(points), out / "figures" / "bland_altman.png", title)

    def _contrasts(self) -> None:
        tables, out = self.found.contrasts, self.out / "summary_stats" / f"run_{self.stamp}"
        if not any(tables.values()):
            return
        extra = () if self.published else ("blocks_a", "blocks_b")
        cohort = {}
        for name, rows in tables.items():
            write_rows(out / "tables" / f"{name}.csv", rows, (*hemopic_contrasts.COLUMNS, *extra))
            cohort[name] = hemopic_contrasts.cohort_contrasts(rows)
            if not self.published:
                write_rows(out / "tables" / f"{name}_cohort.csv", cohort[name])
        self._draw(lambda: hemopic_pictures.draw_contrasts(tables), out / "figures" / "panel.png", "Contrasts of the maps")
        self.tables.append(hemopic_tables.contrast_table(cohort))
        done = sorted({str(row["patient"]) for rows in tables.values() for row in rows})
        self._run_manifest(out, "summary", done, ["tables/lesion.csv", "tables/gmwm.csv", "figures/panel.png"])

    def _curves(self) -> None:
        found, out = self.found.curves, self.out / "curve_reconstruction" / f"run_{self.stamp}"
        if not found:
            return
        columns = hemopic_reconstruction.COLUMNS if self.published else hemopic_reconstruction.CORRECTED_COLUMNS
        write_rows(out / "tables" / "metrics.csv", [row for one in found for row in one.rows], columns)
        for name in ("rmse", "nrmse", "nmse"):
            write_text(out / "tables" / f"{name}.tex", hemopic_tables.latex_table(found, name))
        times, means = hemopic_reconstruction.cohort_curves(found)
        for region, (observed, fitted, _) in means.items():
            columns_of_file = zip(times, observed, fitted, strict=True)
            rows = [{"time_seconds": float(t), "obs_mean": float(o), "fit_mean": float(f)} for t, o, f in columns_of_file]
            write_rows(out / "curves" / f"{CURVE_FILES[region]}_mean.csv", rows)
        draw = hemopic_pictures.draw_curves
        picture = out / "figures" / "combo_two.png"
        self._draw(lambda: draw(times, means, published=self.published), picture, "Mean curves, observed and fitted")
        self.tables.append(hemopic_tables.curve_table(found))
        names = ["tables/metrics.csv", "figures/combo_two.png", *(f"curves/{CURVE_FILES[region]}_mean.csv" for region in means)]
        self._run_manifest(out, "curves", [one.patient for one in found], names)

    def _tau(self) -> None:
        out = self.out / "tau"
        if self.found.times:
            write_rows(out / "cohort_region_times.csv", self.found.times, hemopic_physical.TIME_COLUMNS)
            times = hemopic_physical.time_quantiles(self.found.times)
            write_rows(out / "region_time_quantiles.csv", times, hemopic_physical.QUANTILE_COLUMNS)
            self.tables.append(hemopic_tables.time_table(times))
        if not self.found.rois:
            return
        rows = hemopic_tau.quantile_rows(self.found.rois, self.found.overlaps)
        write_rows(out / "cohort_roi_tau_values.csv", self.found.rois, hemopic_tau.ROI_COLUMNS)
        write_rows(out / "cohort_lesion_overlap_roi_tau_values.csv", self.found.overlaps, hemopic_tau.OVERLAP_COLUMNS)
        write_rows(out / "tau_quantiles_summary.csv", rows, hemopic_tau.SUMMARY_COLUMNS)
        self.tables.append(hemopic_tables.tau_table(rows))
        for name, groups, words in (
            ("tissue", ("GM", "WM"), "Decays with the time constants of gray and white matter"),
            ("lesion", ("lesion", "c_lesion"), "Decays with the time constants of lesion and opposite side"),
        ):
            draw = partial(hemopic_pictures.draw_tau, rows, groups, published=self.published)
            self._draw(draw, out / f"tau_{name}.png", words)

    def _run_manifest(self, out: Path, part: str, done: Sequence[str], names: Sequence[str]) -> None:
        write_json(
            out / "manifest.json",
            {
                "run_folder": out.name,
                "definitions": self.design.definitions,
                "patients_found": len(self.found.patients),
                "patients_ok": len(done),
                "patients": list(done),
                "skipped": [
                    {"patient": patient, "reason": reason} for patient, of, reason in self.found.skipped if of in (part, "all")
                ],
                "outputs": [name for name in names if (out / name).is_file()],
                "mirror": {patient: how for patient, (how, _) in self.found.mirrors.items()},
            },
        )

    def _manifest(self) -> Mapping[str, Any]:
        return {
            "software": f"Perfusion Suite {__version__}",
            "design": asdict(self.design),
            "patients": self.found.patients,
            "fingerprints": self.found.prints,
            "same_subject": self.found.copies,
            "mirror": {patient: {"how": how, "note": note} for patient, (how, note) in self.found.mirrors.items()},
            "skipped": [{"patient": p, "part": part, "reason": reason} for p, part, reason in self.found.skipped],
        }

    def _facts(self) -> list[tuple[str, str]]:
        copies = "; ".join(f"{one} equals {other}" for one, other in self.found.copies.items())
        words = "as published (hemopic 6)" if self.published else "corrected (hemopic 10.6): common voxels, patients as unit"
        counted = [p for p in self.found.patients if self.published or p not in self.found.copies]
        return [
            ("Definitions", words),
            ("Patients", f"{len(counted)}: {', '.join(counted)}"),
            ("Second entries of one subject", copies or "none"),
            ("Mirror regions", _mirror_words(self.found.mirrors)),
            ("Parts", ", ".join(self.design.parts)),
        ]


_SUBTITLE = "Maps against lesions, against other maps and against the measured curves."


def _mirror_words(mirrors: Mapping[str, tuple[str, str]]) -> str:
    if not mirrors:
        return "not needed"
    counts: dict[str, int] = {}
    for how, _ in mirrors.values():
        counts[how] = counts.get(how, 0) + 1
    return "; ".join(f"{how} in {count}" for how, count in counts.items())
