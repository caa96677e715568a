# SPDX-License-Identifier: Apache-2.0
"""A run leaves all of its files or none, under the agreed names."""

from __future__ import annotations

import csv
import json
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from PerfusionSuiteLib import results
from PerfusionSuiteLib.core import CancelledError, InvalidInputError, QualityFinding, Source, Study
from PerfusionSuiteLib.results import writer

FLAT = {
    *(f"{key}.nii.gz" for key in ("cbf", "cbv", "mtt", "tmax", "rcbf", "ttp", "delay")),
    "hypoperf_mask_tmax6.nii.gz", "core_mask_rcbf30.nii.gz",
    *(f"masks/{stem}.nii.gz" for stem in ("brain", "tissue", "hypoperfusion_mask", "core_mask", "penumbra_mask", "aif", "vof")),
    *(f"qa/{stem}.png" for stem in ("aif_vof", "tmax_mip", "core_penumbra_mip", "maps_montage", "motion")),
    "metrics.json", "metrics.csv", "log.txt", "aif.csv", "vof.csv", "report.html",
}  # fmt: skip


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def write_bare(study: Study, out: Path, **options: object) -> list[Path]:
    return results.write(study, out, pictures=False, report=False, **options)  # type: ignore[arg-type]


def test_a_run_writes_every_agreed_file(a_study: Study, tmp_path: Path) -> None:
    written = results.write(a_study, tmp_path / "out")
    assert names(tmp_path / "out") >= FLAT
    assert {path.relative_to(tmp_path / "out").as_posix() for path in written} == names(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_maps_and_masks_lie_on_the_grid_of_the_scan(a_study: Study, tmp_path: Path) -> None:
    write_bare(a_study, tmp_path)
    for name, values in (("tmax", a_study.maps["tmax"].values), ("masks/core_mask", a_study.lesions.core)):
        image = nib.load(tmp_path / f"{name}.nii.gz")
        np.testing.assert_allclose(image.affine, a_study.series.affine)
        np.testing.assert_array_equal(np.asarray(image.dataobj), values)


@pytest.mark.parametrize(
    "change", [{"tmax_s": 5.0}, {"rcbf_percent": 38.0}, {"hypoperfusion_rule": "delay"}, {"core_rule": "cbv"}]
)
def test_names_that_promise_a_threshold_are_not_given_to_other_thresholds(a_study: Study, tmp_path: Path, change: dict) -> None:
    lesions = replace(a_study.lesions, thresholds={**a_study.lesions.thresholds, **change})
    write_bare(replace(a_study, lesions=lesions), tmp_path)
    assert not {"hypoperf_mask_tmax6.nii.gz", "core_mask_rcbf30.nii.gz"} & names(tmp_path)
    assert "masks/core_mask.nii.gz" in names(tmp_path)


def test_sinus_regions_are_written_when_they_were_found(a_study: Study, tmp_path: Path) -> None:
    extra = {"sss": a_study.lesions.core, "torcula": a_study.lesions.core, "something": a_study.lesions.core}
    write_bare(replace(a_study, lesions=replace(a_study.lesions, extra=extra)), tmp_path)
    assert {"masks/sss.nii.gz", "masks/torcula.nii.gz"} <= names(tmp_path)
    assert "masks/something.nii.gz" not in names(tmp_path)


def test_a_second_run_replaces_the_first_and_keeps_foreign_files(a_study: Study, tmp_path: Path) -> None:
    write_bare(a_study, tmp_path / "out")
    (tmp_path / "out" / "notes.docx").write_text("mine")
    (tmp_path / "out" / "masks" / "drawn.nii.gz").write_text("mine")
    other = replace(a_study, vof=None, lesions=replace(a_study.lesions, thresholds={"tmax_s": 5.0, "rcbf_percent": 30.0}))
    write_bare(other, tmp_path / "out")
    assert {"notes.docx", "masks/drawn.nii.gz"} <= names(tmp_path / "out")
    left_over = {"vof.csv", "masks/vof.nii.gz", "hypoperf_mask_tmax6.nii.gz", "core_mask_rcbf30.nii.gz"}
    assert not left_over & names(tmp_path / "out"), "results of two runs lie side by side"


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_and_says_so(a_study: Study, tmp_path: Path) -> None:
    with disk_with_room_for(300), pytest.raises(InvalidInputError, match="Free disk space"):
        write_bare(a_study, tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_results_of_the_earlier_run(a_study: Study, tmp_path: Path) -> None:
    write_bare(a_study, tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    with disk_with_room_for(300), pytest.raises(InvalidInputError):
        write_bare(replace(a_study, vof=None), tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before


def test_a_file_that_cannot_be_replaced_undoes_the_others(a_study: Study, tmp_path: Path) -> None:
    write_bare(a_study, tmp_path / "out")
    (tmp_path / "out" / "tmax.nii.gz").unlink()
    (tmp_path / "out" / "tmax.nii.gz").mkdir()
    (tmp_path / "out" / "tmax.nii.gz" / "mine.txt").write_text("mine")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    with pytest.raises(InvalidInputError, match="choose another output folder"):
        write_bare(replace(a_study, vof=None), tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_caller_can_ask_what_an_earlier_run_may_have_left(a_study: Study, tmp_path: Path) -> None:
    for layout in ("flat", "bids"):
        results.write(a_study, tmp_path / layout, layout=layout)
        possible = {name.as_posix() for name in results.outdated_names(a_study, layout)}
        assert names(tmp_path / layout) - possible <= {"dataset_description.json", ".bidsignore"}


def test_a_run_that_is_cancelled_leaves_nothing(a_study: Study, tmp_path: Path) -> None:
    def cancel(fraction: float, stage: str) -> None:
        if fraction > 0.3:
            raise CancelledError

    with pytest.raises(CancelledError):
        results.write(a_study, tmp_path / "out", progress=cancel)
    assert list(tmp_path.iterdir()) == []


def test_progress_only_grows_and_ends_at_one(a_study: Study, tmp_path: Path) -> None:
    seen: list[float] = []
    results.write(a_study, tmp_path / "out", progress=lambda fraction, _: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_an_output_that_is_a_file_is_refused(a_study: Study, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InvalidInputError, match="is a file"):
        write_bare(a_study, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_an_unknown_layout_is_refused(a_study: Study, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no layout 'tidy'"):
        write_bare(a_study, tmp_path / "out", layout="tidy")
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_strict_json_with_findings_and_one_flat_row(a_study: Study, tmp_path: Path) -> None:
    finding = QualityFinding("late", "warning", "The bolus came late.", "Scan longer.")
    write_bare(a_study, tmp_path, extra_findings=(finding,))

    def refuse(text: str) -> None:
        raise AssertionError(text)

    numbers = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert numbers["quality"]["flags"] == ["aif_scaled", "late"]
    assert numbers["warnings"] == ["The bolus came late. Scan longer."]
    assert numbers["prr_percent"] is None
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert len(rows) == 1
    assert float(rows[0]["volumes_ml.tmax_gt_6"]) == numbers["volumes_ml"]["tmax_gt_6"]
    assert rows[0]["prr_percent"] == ""


def test_no_file_holds_a_path_or_an_identifier(a_study: Study, tmp_path: Path) -> None:
    source = Source(
        "dicom", "case-01", ("Read 30 files from '/pacs/DOE^JOHN'.", "Series 1.2.840.113619.2.55.3.604688.119."), (),
        {"file": "/pacs/DOE^JOHN/1.dcm", "study_uid": "1.2.840.113619.2.55.3.604688.119"},
    )  # fmt: skip
    finding = QualityFinding("odd", "warning", "Skipped /pacs/DOE^JOHN/2.dcm.", "")
    study = replace(a_study, series=replace(a_study.series, source=source), settings={"aif": Path("/pacs/DOE^JOHN/aif.csv")})
    for layout in ("flat", "bids"):
        results.write(study, tmp_path / layout, layout=layout, extra_findings=(finding,), pictures=False)
        for path in (tmp_path / layout).rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert b"DOE" not in content
            assert b"1.2.840.113619" not in content
            assert "DOE" not in path.name


def test_the_log_tells_decisions_settings_findings_and_seconds(a_study: Study, tmp_path: Path) -> None:
    source = replace(a_study.series.source, decisions=("Took the larger of two series.",))
    write_bare(replace(a_study, series=replace(a_study.series, source=source)), tmp_path)
    text = (tmp_path / "log.txt").read_text()
    for part in (
        "Took the larger of two series.",
        "method = osvd",
        "[info] aif_scaled",
        "deconvolution",
        "1.50",
        "not for clinical use",
    ):
        assert part in text


def test_bids_names_carry_the_subject_and_units_lie_beside_volumes(a_study: Study, tmp_path: Path) -> None:
    results.write(a_study, tmp_path, layout="bids")
    found = names(tmp_path)
    assert "sub-case01/perf/sub-case01_desc-core_mask.nii.gz" in found
    volumes = {name for name in found if name.endswith(".nii.gz")}
    assert {name.replace(".nii.gz", ".json") for name in volumes} <= found
    facts = json.loads((tmp_path / "sub-case01/perf/sub-case01_desc-perfusion_cbf.json").read_text())
    assert facts["Units"] == "mL/100g/min"
    assert json.loads((tmp_path / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert all(name.startswith(("sub-case01", "dataset_description", ".bidsignore")) for name in found)


def test_bids_sidecars_say_what_the_standard_asks_for(a_study: Study, tmp_path: Path) -> None:
    results.write(a_study, tmp_path, layout="bids", pictures=False, report=False)
    facts = {path.name.split("_", 1)[1]: json.loads(path.read_text()) for path in (tmp_path / "sub-case01/perf").glob("*.json")}
    assert facts["desc-perfusion_tmax.json"]["SkullStripped"] is True
    kinds = {name: facts[f"desc-{name}_mask.json"]["Type"] for name in ("brain", "core", "penumbra", "tissue", "aif")}
    assert kinds == {"brain": "Brain", "core": "Lesion", "penumbra": "Lesion", "tissue": "ROI", "aif": "ROI"}
    for name in facts["desc-core_mask.json"]["Sources"]:
        assert (tmp_path / name.removeprefix("bids::")).is_file()
    for name, fact in facts.items():
        if name.endswith("_mask.json") or "perfusion" in name:
            assert fact["SpatialReference"] == "orig", name
            assert fact["Description"]
    entities = re.compile(r"sub-[A-Za-z0-9]+_desc-[A-Za-z0-9]+_[a-z0-9A-Z]+\.(nii\.gz|json|tsv|txt)")
    assert not [path.name for path in (tmp_path / "sub-case01/perf").iterdir() if not entities.fullmatch(path.name)]
    ignored = (tmp_path / ".bidsignore").read_text().split()
    assert {"*.html", "dicom/"} <= set(ignored)


@pytest.mark.parametrize(
    ("package", "flag", "absent"), [("matplotlib", "no_pictures", "qa/motion.png"), ("jinja2", "no_report", "report.html")]
)
def test_a_missing_package_costs_its_part_only(
    a_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, flag: str, absent: str
) -> None:
    monkeypatch.setattr(writer, "_lacks", lambda name: name == package)
    results.write(a_study, tmp_path)
    assert absent not in names(tmp_path)
    assert "tmax.nii.gz" in names(tmp_path)
    assert flag in json.loads((tmp_path / "metrics.json").read_text())["quality"]["flags"]
    assert package in (tmp_path / "log.txt").read_text()
