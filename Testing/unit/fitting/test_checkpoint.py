# SPDX-License-Identifier: Apache-2.0
"""What a long fit keeps: it comes back, it is refused for other data or settings, and it goes when the fit is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from field_examples import TIMES, arterial

from PerfusionSuiteLib.core.errors import InvalidInputError
from PerfusionSuiteLib.deconvolution.problem import make_problem
from PerfusionSuiteLib.fitting.checkpoint import Checkpoint, request_fingerprint
from PerfusionSuiteLib.fitting.request import FitRequest

pytest.importorskip("safetensors")


def request(scale: float = 1.0, **settings: object) -> FitRequest:
    curves = scale * np.random.default_rng(3).normal(size=(4, 5, 2, TIMES.size)).astype(np.float32)
    return FitRequest(
        make_problem(curves, arterial(TIMES), TIMES), {"steps": 5, "wide": float("inf"), **settings}, 4190.0, np.eye(4)
    )


def test_a_fingerprint_tells_data_and_settings_apart_but_not_devices() -> None:
    same = request_fingerprint("neural", request())
    assert request_fingerprint("neural", request()) == same
    assert request_fingerprint("neural", replace(request(), device="cuda:1")) == same
    others = [
        request_fingerprint("spatial", request()),
        request_fingerprint("neural", request(1.001)),
        request_fingerprint("neural", request(steps=6)),
        request_fingerprint("neural", replace(request(), affine=2 * np.eye(4))),
        request_fingerprint("neural", replace(request(), guide=np.ones((4, 5, 2), np.float32))),
        request_fingerprint("neural", request(), start={"seed": 1}),
    ]
    assert len({same, *others}) == 7


def test_a_state_comes_back_and_can_be_cleared(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "job", "neural", "abc")
    assert kept.load() is None
    kept.save({"w": np.ones((2, 3), np.float32), "random": np.zeros(9, np.uint8)}, {"done": 7})
    kept.save({"w": np.full((2, 3), 2, np.float32), "random": np.ones(9, np.uint8)}, {"done": 8})
    found = kept.load()
    assert found is not None
    np.testing.assert_array_equal(found[0]["w"], np.full((2, 3), 2))
    assert found[0]["random"].dtype == np.uint8
    assert found[1] == {"done": 8}
    kept.clear()
    assert kept.load() is None
    assert not list((tmp_path / "job").iterdir())


def test_a_state_of_another_scan_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path, "neural", "abc").save({"w": np.ones(3)}, {"done": 7})
    with pytest.raises(InvalidInputError, match="belongs to another scan or other settings"):
        Checkpoint(tmp_path, "neural", "abd").load()


def test_without_a_folder_nothing_is_kept() -> None:
    nowhere = Checkpoint(None, "neural", "abc")
    nowhere.save({"w": np.ones(3)}, {})
    assert nowhere.load() is None
    nowhere.clear()
