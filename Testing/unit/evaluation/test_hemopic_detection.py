# SPDX-License-Identifier: Apache-2.0
"""Lesion ROC and precision-recall of fitted DSC patients: test vectors, published cohort figures, masks, missing maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PerfusionSuiteLib.core import InvalidInputError
from PerfusionSuiteLib.evaluation import hemopic_discrimination as detection
from PerfusionSuiteLib.evaluation.hemopic_case import Case, duplicates, fingerprint
from PerfusionSuiteLib.evaluation.hemopic_discrimination_cohort import (
    cohort_differences,
    cohort_summary,
    published_summary,
    split_summary,
)
from PerfusionSuiteLib.evaluation.hemopic_folders import CaseFiles

# id, voxels, lesion voxels; AUC of deconvolution CBF CBV MTT and of HemoPIC; then AP of the same six (published result file).
PUBLISHED = """
1 148651 211 0.649 0.605 0.554 0.672 0.605 0.515 0.0021 0.0019 0.0016 0.0026 0.0018 0.0016
2 162716 48 0.796 0.522 0.633 0.856 0.461 0.666 0.0009 0.0004 0.0008 0.0012 0.0003 0.0010
3 166575 1055 0.833 0.637 0.528 0.919 0.673 0.789 0.0188 0.0071 0.0076 0.0668 0.0115 0.0302
4 166991 21692 0.759 0.637 0.499 0.741 0.686 0.482 0.2493 0.1692 0.1481 0.2554 0.2198 0.1297
5 160777 5176 0.663 0.529 0.548 0.683 0.539 0.618 0.0533 0.0342 0.0409 0.0673 0.0337 0.0462
6 229811 449 0.714 0.614 0.728 0.628 0.570 0.731 0.0051 0.0033 0.0064 0.0027 0.0022 0.0063
7 72084 6187 0.845 0.703 0.422 0.838 0.773 0.472 0.3116 0.1637 0.1100 0.3880 0.3112 0.2084
8 128322 2455 0.670 0.400 0.902 0.789 0.444 0.939 0.0392 0.0149 0.1592 0.1409 0.0158 0.2866
9 69253 338 0.878 0.692 0.837 0.918 0.705 0.849 0.0316 0.0089 0.0445 0.1016 0.0089 0.0817
10 71974 194 0.639 0.452 0.709 0.793 0.476 0.783 0.0036 0.0025 0.0094 0.0080 0.0025 0.0134
11 166575 1055 0.833 0.637 0.528 0.919 0.673 0.789 0.0188 0.0071 0.0076 0.0668 0.0115 0.0302
12 170240 589 0.581 0.492 0.594 0.622 0.550 0.548 0.0040 0.0033 0.0058 0.0057 0.0038 0.0062
13 193011 11839 0.797 0.633 0.817 0.823 0.624 0.690 0.2027 0.1327 0.2815 0.2932 0.1700 0.3208
14 229338 23961 0.799 0.711 0.606 0.828 0.666 0.765 0.2861 0.2525 0.1904 0.4245 0.1857 0.4146
15 76004 124 0.828 0.537 0.844 0.917 0.564 0.902 0.0058 0.0017 0.0105 0.0200 0.0018 0.0184
16 229751 5687 0.789 0.668 0.482 0.794 0.660 0.724 0.0927 0.0516 0.0315 0.1138 0.0450 0.1334
18 166918 21344 0.734 0.581 0.569 0.756 0.558 0.555 0.2573 0.1711 0.1713 0.3036 0.1460 0.1630
19 249805 1270 0.857 0.799 0.667 0.919 0.780 0.619 0.0230 0.0147 0.0110 0.0608 0.0116 0.0150
20 85381 914 0.638 0.467 0.762 0.696 0.478 0.778 0.0149 0.0098 0.0291 0.0181 0.0102 0.0285
21 119311 574 0.765 0.546 0.630 0.816 0.562 0.728 0.0114 0.0059 0.0093 0.0200 0.0052 0.0171
22 233704 16218 0.752 0.566 0.793 0.737 0.567 0.843 0.1895 0.0905 0.2883 0.1454 0.0765 0.4316
23 224488 2761 0.763 0.657 0.606 0.718 0.577 0.736 0.0401 0.0258 0.0265 0.0245 0.0138 0.0592
24 232381 21138 0.690 0.586 0.656 0.695 0.596 0.668 0.1641 0.1265 0.1875 0.1603 0.1267 0.2011
26 222651 9295 0.705 0.650 0.557 0.697 0.644 0.564 0.0896 0.0605 0.0519 0.0793 0.0569 0.0663
27 165322 8574 0.672 0.504 0.627 0.710 0.503 0.676 0.0914 0.0516 0.1113 0.1419 0.0559 0.1176
28 158113 707 0.872 0.531 0.951 0.911 0.567 0.949 0.0183 0.0047 0.0985 0.1319 0.0059 0.1042
30 148246 2100 0.740 0.448 0.934 0.780 0.457 0.928 0.0371 0.0132 0.1443 0.0515 0.0123 0.2066
31 158599 5092 0.854 0.696 0.859 0.840 0.707 0.807 0.1666 0.0742 0.1989 0.2765 0.0840 0.1666
32 168193 10184 0.837 0.543 0.795 0.851 0.595 0.811 0.2369 0.0695 0.2744 0.3265 0.0811 0.3207
33 177776 4604 0.848 0.659 0.929 0.851 0.711 0.831 0.1652 0.0441 0.3452 0.2666 0.0636 0.1887
35 159554 727 0.768 0.644 0.812 0.713 0.647 0.601 0.0205 0.0131 0.0507 0.0184 0.0103 0.0175
36 85802 4376 0.731 0.525 0.875 0.814 0.563 0.887 0.1042 0.0537 0.3118 0.2375 0.0533 0.4059
37 60615 23 0.583 0.358 0.881 0.658 0.390 0.959 0.0006 0.0003 0.0027 0.0011 0.0003 0.0055
38 76398 4948 0.683 0.567 0.683 0.722 0.539 0.713 0.1426 0.0842 0.1978 0.1868 0.0722 0.2075
39 152598 72 0.734 0.684 0.494 0.679 0.691 0.412 0.0012 0.0008 0.0005 0.0011 0.0009 0.0005
40 161689 878 0.875 0.727 0.645 0.874 0.765 0.719 0.0435 0.0109 0.0126 0.0831 0.0151 0.0175
41 170603 75 0.683 0.525 0.682 0.843 0.586 0.822 0.0007 0.0004 0.0009 0.0015 0.0005 0.0017
42 132260 288 0.847 0.704 0.642 0.535 0.564 0.491 0.0158 0.0048 0.0073 0.0023 0.0039 0.0024
43 158372 2631 0.622 0.517 0.614 0.677 0.551 0.599 0.0233 0.0170 0.0285 0.0316 0.0181 0.0261
44 89662 722 0.804 0.602 0.716 0.811 0.612 0.773 0.0372 0.0134 0.0298 0.0521 0.0171 0.0717
45 181269 531 nan nan 0.585 0.408 0.270 0.730 nan nan 0.0037 0.0029 0.0022 0.0062
46 133671 1668 0.549 0.430 0.668 0.574 0.447 0.663 0.0140 0.0104 0.0276 0.0180 0.0107 0.0230
47 80983 3223 0.654 0.445 0.809 0.681 0.460 0.772 0.0675 0.0368 0.2607 0.0733 0.0341 0.1402
48 146349 5360 0.882 0.660 0.786 0.883 0.624 0.857 0.2035 0.0535 0.1689 0.2885 0.0544 0.1785
"""
# AUC: n, mean, population sd, median, smallest, largest; AP: mean, median; without ids 3 and 45: AUC, AP (hemopic 7.4)
SUMMARY = {
    ("deconv", "cbf"): (43, 0.749, 0.090, 0.759, 0.549, 0.882, 0.082, 0.037, 0.747, 0.083),
    ("deconv", "cbv"): (43, 0.584, 0.098, 0.586, 0.358, 0.799, 0.045, 0.015, 0.582, 0.046),
    ("deconv", "mtt"): (44, 0.692, 0.137, 0.668, 0.422, 0.951, 0.093, 0.036, 0.699, 0.098),
    ("hemopic", "cbf"): (44, 0.764, 0.112, 0.785, 0.408, 0.919, 0.113, 0.067, 0.768, 0.117),
    ("hemopic", "cbv"): (44, 0.584, 0.104, 0.574, 0.270, 0.780, 0.047, 0.014, 0.589, 0.049),
    ("hemopic", "mtt"): (44, 0.722, 0.137, 0.730, 0.412, 0.959, 0.112, 0.063, 0.720, 0.116),
}
SHAPE = (30, 30, 8)


def published_rows() -> list[dict[str, Any]]:
    rows = []
    for text in PUBLISHED.split("\n"):
        cells = text.split()
        for at, (method, metric) in enumerate(SUMMARY):
            if cells:
                area, precision = float(cells[3 + at]), float(cells[9 + at])
                numbers = {"roc_auc": area, "average_precision": precision, "pr_auc_trapezoid": 0.0}
                rows.append({"patient_id": cells[0], "method": method, "metric": metric, **numbers})
    return rows


def a_case(maps: dict[str, dict[str, np.ndarray]], lesion: np.ndarray | None, **more: Any) -> Case:
    files = {source: {key: Path(f"{key}.nii.gz") for key in found} for source, found in maps.items()}
    brain = more.pop("brain", np.ones(SHAPE, bool))
    about = CaseFiles("7", "training_7", Path("nowhere"), files)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    return Case("7", "training_7", affine, maps, lesion, more.pop("labels", None), brain, None, about, ())


@pytest.fixture
def a_lesion() -> np.ndarray:
    lesion = np.zeros(SHAPE, bool)
    lesion[18:26, 10:20, 2:6] = True
    return lesion


@pytest.fixture
def some_maps(a_lesion: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    cbf = np.where(a_lesion, 25.0, 45.0) + rng.normal(0, 10, SHAPE)
    mtt = np.where(a_lesion, 9.0, 6.0) + rng.normal(0, 2, SHAPE)
    maps = {"cbf": np.maximum(cbf, 0.5), "cbv": np.full(SHAPE, 3.0) + rng.normal(0, 0.3, SHAPE), "mtt": np.maximum(mtt, 0.1)}
    single = {key: values.astype(np.float32) for key, values in maps.items()}
    return {"hemopic": single, "deconv": {key: values.copy() for key, values in single.items()}}


def test_the_test_vector_with_ties_is_met() -> None:
    found = detection.detect([0.9, 0.9, 0.8, 0.7, 0.7, 0.4, 0.2, 0.1], [1, 0, 1, 1, 0, 0, 1, 0])
    assert found is not None
    assert found.roc.auc == pytest.approx(0.625)
    assert found.average_precision == pytest.approx(0.58452381, abs=1e-8)
    assert found.pr_auc_trapezoid == pytest.approx(0.62559524, abs=1e-8)


def test_a_perfect_score_has_precision_one_and_one_class_alone_has_no_score() -> None:
    found = detection.detect([3.0, 2.0, 1.0, 0.0], [True, True, False, False])
    assert found is not None
    assert found.average_precision == pytest.approx(1.0)
    assert detection.detect([1.0, 2.0], [True, True]) is None
    assert detection.detect([1.0, 2.0], [False, False]) is None


@pytest.mark.parametrize(("method", "metric"), list(SUMMARY))
def test_published_patients_give_the_published_summary(method: str, metric: str) -> None:
    count, mean, sd, median, low, high, precision, middle, mean_42, precision_42 = SUMMARY[method, metric]
    rows = published_rows()
    row = next(r for r in cohort_summary(rows) if (r["method"], r["metric"]) == (method, metric))
    assert row["n"] == count
    found = [row[name] for name in ("auc_mean", "auc_std", "auc_median", "auc_min", "auc_max")]
    assert found == pytest.approx([mean, sd, median, low, high], abs=0.0011)  # both sides are rounded to three digits
    assert [row["ap_mean"], row["ap_median"]] == pytest.approx([precision, middle], abs=0.0006)
    kept = next(r for r in cohort_summary(rows, without={"3", "45"}) if (r["method"], r["metric"]) == (method, metric))
    assert kept["n"] == 42
    assert [kept["auc_mean"], kept["ap_mean"]] == pytest.approx([mean_42, precision_42], abs=0.0006)
    plain = next(r for r in published_summary(rows) if (r["method"], r["metric"]) == (method, metric))
    assert plain["roc_auc_mean"] == pytest.approx(mean, abs=0.0011)
    assert plain["roc_auc_std"] == pytest.approx(sd, abs=0.0011)
    assert row["auc_mean_low"] < row["auc_mean"] < row["auc_mean_high"]


def test_published_patients_give_the_published_differences_and_wins() -> None:
    found = {(r["metric"], r["value"]): r for r in cohort_differences(published_rows(), without={"3", "45"})}
    assert all(row["n"] == 42 and row["method"] == "hemopic" for row in found.values())
    for metric, mean, wins, p in (("cbf", 0.021, 31, 0.002), ("cbv", 0.007, 29, 0.05), ("mtt", 0.021, 26, 0.09)):
        row = found[metric, "roc_auc"]
        assert row["mean"] == pytest.approx(mean, abs=0.0006)
        ties = row["n"] - row["wins"] - row["losses"]  # numbers of three digits tie where the published ones did not
        assert row["wins"] <= wins <= row["wins"] + ties
        assert row["p_wilcoxon"] == pytest.approx(p, abs=0.013)
    for metric, median, wins in (("cbf", 0.014, 34), ("cbv", 0.0, 23), ("mtt", 0.006, 31)):
        row = found[metric, "average_precision"]
        assert row["median"] == pytest.approx(median, abs=0.0006)
        assert row["wins"] <= wins <= row["wins"] + row["n"] - row["wins"] - row["losses"]


def test_the_published_table_holds_the_pooled_counts() -> None:
    counts = np.array([[int(n) for n in text.split()[1:3]] for text in PUBLISHED.split("\n") if text])
    assert counts.sum(axis=0).tolist() == [6_742_786, 211_357]


def test_ids_are_halved_only_when_all_patients_have_numbers() -> None:
    halves = split_summary(published_rows())
    assert {row["ids"] for row in halves} == {"odd", "even"}
    odd, even = (next(r["n"] for r in halves if r["ids"] == name and r["metric"] == "mtt") for name in ("odd", "even"))
    assert odd + even == 44
    assert split_summary([{"patient_id": "anna", "method": "a", "metric": "cbf", "roc_auc": 0.5}]) == []


def test_corrected_maps_share_their_voxels_and_keep_zeros_published_ones_do_not(
    some_maps: dict[str, dict[str, np.ndarray]], a_lesion: np.ndarray
) -> None:
    some_maps["deconv"]["cbf"][a_lesion] *= np.random.default_rng(0).random(int(a_lesion.sum())) > 0.5  # half have no flow at all
    some_maps["hemopic"]["cbf"][:2] = np.nan
    case = a_case(some_maps, a_lesion)
    corrected = detection.scored_maps(case, "corrected")
    assert len({int(each.valid.sum()) for each in corrected}) == 1
    assert corrected[0].valid.sum() == np.prod(SHAPE) - 2 * 30 * 8
    published = {(each.method, each.metric): each for each in detection.scored_maps(case, "published")}
    zeros = int((some_maps["deconv"]["cbf"] == 0).sum())
    assert zeros > 100
    assert published["deconv", "cbf"].truth.size == np.prod(SHAPE) - zeros
    flow = next(each for each in corrected if (each.method, each.metric) == ("deconv", "cbf"))
    assert flow.detection is not None
    assert published["deconv", "cbf"].detection is not None
    # The worst voxels are found when they count, and were removed from the comparator before.
    assert flow.detection.roc.auc > published["deconv", "cbf"].detection.roc.auc + 0.02


def test_a_map_without_numbers_has_a_status_and_does_not_empty_the_others(
    some_maps: dict[str, dict[str, np.ndarray]], a_lesion: np.ndarray
) -> None:
    whole = detection.scored_maps(a_case(some_maps, a_lesion), "corrected", metrics=("mtt",))
    some_maps["deconv"]["cbf"][:] = np.nan
    case = a_case(some_maps, a_lesion)
    scores = detection.scored_maps(case, "corrected")
    rows = {(r["method"], r["metric"]): r for r in (detection.metric_row(case, each, "corrected") for each in scores)}
    assert tuple(rows["deconv", "mtt"]) == detection.CORRECTED_COLUMNS
    assert rows["deconv", "cbf"]["status"] == "no usable values"
    assert np.isnan(rows["deconv", "cbf"]["roc_auc"])
    assert rows["deconv", "mtt"]["status"] == "ok"
    assert whole[0].detection is not None
    assert rows["hemopic", "mtt"]["roc_auc"] == pytest.approx(whole[0].detection.roc.auc)
    published = [detection.metric_row(case, each, "published") for each in detection.scored_maps(case, "published")]
    assert all(tuple(row) == detection.COLUMNS for row in published)
    assert sum(np.isnan(row["roc_auc"]) for row in published) == 1


def test_relative_values_turn_maps_into_scores_as_published(
    some_maps: dict[str, dict[str, np.ndarray]], a_lesion: np.ndarray
) -> None:
    case = a_case(some_maps, a_lesion)
    flow, _, transit = detection.scored_maps(case, "published", methods=("hemopic",))
    cbf, mtt = (some_maps["hemopic"][key] for key in ("cbf", "mtt"))
    assert flow.denominator == pytest.approx(np.median(cbf))
    np.testing.assert_allclose(flow.score, np.median(cbf) / cbf.ravel(), rtol=1e-5)
    np.testing.assert_allclose(transit.score, mtt.ravel() / np.median(mtt), rtol=1e-5)
    outside = detection.scored_maps(case, "published", methods=("hemopic",), relative_mode="nonlesion_median")[0]
    assert outside.denominator == pytest.approx(np.median(cbf[~a_lesion]))
    assert outside.detection is not None
    assert flow.detection is not None
    assert outside.detection.roc.auc == pytest.approx(flow.detection.roc.auc)  # one factor changes no order


def test_the_interval_of_a_smooth_map_is_wider_than_that_of_independent_voxels(a_lesion: np.ndarray) -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, SHAPE)
    widths = []
    for sigma in (0.0, 3.0):
        values = gaussian_filter(noise, sigma) if sigma else noise
        maps = {"hemopic": {"mtt": (6.0 + values / values.std() + 0.8 * a_lesion).astype(np.float32)}}
        case = a_case(maps, a_lesion)
        scores = detection.scored_maps(case, "corrected")[0]
        low, high = detection.auc_interval(scores, case)
        assert scores.detection is not None
        assert low < scores.detection.roc.auc < high
        widths.append(high - low)
    assert widths[1] > 2.0 * widths[0]


def test_pooling_weighs_patients_by_their_voxels() -> None:
    good = (np.array([1.0, 0.0] * 50, np.float32), np.array([True, False] * 50))
    bad = (np.array([0.0, 1.0], np.float32), np.array([True, False]))
    (row,) = detection.pooled_rows({("hemopic", "mtt"): [good, bad]})
    assert (row["n_eval_voxels"], row["n_lesion_voxels"]) == (102, 51)
    assert row["roc_auc"] == pytest.approx((50 * 50 + 0.5 * 50 + 0.5 * 50) / 51**2)


def test_a_patient_without_lesion_is_told(some_maps: dict[str, dict[str, np.ndarray]]) -> None:
    with pytest.raises(InvalidInputError, match="no lesion mask"):
        detection.scored_maps(a_case(some_maps, None), "corrected")
    case = a_case(some_maps, np.zeros(SHAPE, bool))
    rows = [detection.metric_row(case, each, "corrected") for each in detection.scored_maps(case, "corrected")]
    assert {row["status"] for row in rows} == {"no lesion voxels"}


def test_one_subject_under_two_numbers_is_found_whatever_its_fit(
    some_maps: dict[str, dict[str, np.ndarray]], a_lesion: np.ndarray
) -> None:
    first = a_case(some_maps, a_lesion)
    other_fit = {"hemopic": {"cbf": some_maps["hemopic"]["cbf"] * 1.1}, "deconv": some_maps["deconv"]}
    copy = replace(a_case(other_fit, a_lesion), patient="3")
    moved = replace(a_case(some_maps, np.roll(a_lesion, 1, axis=0)), patient="8")
    prints = {case.patient: fingerprint(case) for case in (first, copy, moved)}
    assert duplicates(prints) == {"3": "7"}


def test_a_map_of_missing_values_has_a_fingerprint_too(a_lesion: np.ndarray) -> None:
    empty = {"deconv": {"cbf": np.full(SHAPE, np.nan, np.float32)}}
    assert fingerprint(a_case(empty, a_lesion)) == fingerprint(a_case(empty, a_lesion.copy()))
