# SPDX-License-Identifier: Apache-2.0
"""A study is compared with anything that looks like the truth of a phantom."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from PerfusionSuiteLib.core import GridMismatchError, Study
from PerfusionSuiteLib.evaluation import as_rows, as_text, score_study


def truth_of(study: Study, shift: float = 0.0) -> SimpleNamespace:
    """The study itself as truth, with all maps lower by `shift`."""
    tissue = study.lesions.tissue.astype(np.float32)
    return SimpleNamespace(
        maps={key: study.maps[key].values - shift for key in ("cbf", "cbv", "mtt", "tmax", "delay")},
        masks={name: getattr(study.lesions, name) for name in ("hypoperfusion", "core", "penumbra")}
        | {"brain": study.masks.brain, "scored": study.lesions.tissue},
        fractions={"gm": tissue * 0.9, "wm": tissue * 0.05, "deep": tissue * 0.05},
        aif=study.aif.values,
        vof=study.vof.values if study.vof else None,
        times_s=study.aif.times_s,
        affine=study.maps.affine,
        side="left",
        midplane=study.lesions.midplane,
    )


def test_a_study_that_is_the_truth_has_no_error(a_study: Study) -> None:
    scores = score_study(a_study, truth_of(a_study))
    assert {name: part["dice"] for name, part in scores["lesions"].items()} == dict.fromkeys(
        ("hypoperfusion", "core", "penumbra", "brain"), 1.0
    )
    assert all(part["tissue"]["mae"] == 0 for part in scores["maps"].values())
    assert scores["curves"]["aif"] == {
        "peak_ratio": pytest.approx(1),
        "area_ratio": pytest.approx(1),
        "peak_shift_s": 0,
        "correlation": pytest.approx(1),
    }
    assert scores["side"] == {"found": "left", "truth": "left"}
    assert scores["midplane"] == {"angle_deg": pytest.approx(0, abs=1e-4), "offset_mm": pytest.approx(0, abs=1e-4)}
    json.dumps(scores, allow_nan=False)


def test_a_bias_is_found_in_each_tissue(a_study: Study) -> None:
    scores = score_study(a_study, truth_of(a_study, shift=1.5))
    for part in ("tissue", "gray matter", "penumbra", "core"):
        assert scores["maps"]["cbf"][part]["bias"] == pytest.approx(1.5, abs=1e-5)
    assert "white matter" not in scores["maps"]["cbf"]  # there is none in this truth


def test_the_angle_between_the_planes_is_told(a_study: Study) -> None:
    truth = truth_of(a_study)
    truth.midplane = np.array([np.cos(np.radians(3)), np.sin(np.radians(3)), 0, 0])
    lesions = replace(a_study.lesions, midplane=np.array([1.0, 0, 0, 0]))
    assert score_study(replace(a_study, lesions=lesions), truth)["midplane"]["angle_deg"] == pytest.approx(3, abs=1e-3)


def test_the_table_holds_every_number_and_the_text_the_main_ones(a_study: Study) -> None:
    scores = score_study(a_study, truth_of(a_study, shift=1.5))
    rows = as_rows(scores)
    assert {"subject": "core", "part": "", "measure": "dice", "value": 1.0, "unit": "1"} in rows
    units = {(row["subject"], row["measure"]): row["unit"] for row in rows}
    assert units["CBF", "bias"] == "mL/100g/min"
    assert units["core", "volume_ml"] == "mL"
    for text in (as_text(scores), as_text(rows)):
        assert "core: dice 1" in text
        assert "CBF: bias 1.5 mL/100g/min" in text


def test_truth_on_another_grid_is_refused(a_study: Study) -> None:
    truth = truth_of(a_study)
    truth.affine = truth.affine.copy()
    truth.affine[0, 3] += 5.0
    with pytest.raises(GridMismatchError, match="The truth lies up to 5"):
        score_study(a_study, truth)
