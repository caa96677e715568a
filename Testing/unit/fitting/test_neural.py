# SPDX-License-Identifier: Apache-2.0
"""The neural field: known perfusion is found, stored fields say the same as the maps, and a stopped fit goes on bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scan_examples import AFFINE, SHAPE, TIMES, ellipsoid, scan, truth

from PerfusionSuiteLib.core import CancelledError, FittedField, InvalidInputError, NoWatch
from PerfusionSuiteLib.fitting import fit, fitted_curves, load_field, sample, save_field

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

FAST = {"family": "box", "average": False, "start": "random", "steps": 12, "guide": "off"}


def run(
    given: dict[str, Any] | None = None, *, watch: Any = None, progress: Any = None, **settings: Any
) -> tuple[Any, FittedField]:
    maps, field = fit(
        **(given or scan()), method="neural", settings={**FAST, **settings}, device="cpu", watch=watch, progress=progress
    )
    assert field is not None
    return maps, field


@pytest.fixture(scope="module")
def fitted() -> tuple[dict[str, np.ndarray], FittedField]:
    return run()


def test_known_perfusion_is_found() -> None:
    maps, field = run(scan(noise=0.5), steps=150)
    mask, known = ellipsoid(), truth()
    assert np.sqrt(np.mean((maps["cbf"] - known["cbf"])[mask] ** 2)) < 0.15 * known["cbf"][mask].mean()
    assert np.sqrt(np.mean((maps["tmax"] - known["tmax"])[mask] ** 2)) < 0.4
    assert field.history["loss"][-1] < 0.2 * field.history["loss"][0]
    np.testing.assert_allclose(maps["tmax"][mask], (maps["delay"] + maps["mtt"] / 2)[mask], rtol=1e-5)
    np.testing.assert_allclose(maps["cbf"][mask], (60 * maps["cbv"] / maps["mtt"])[mask], rtol=1e-5)


def test_every_map_has_its_deviation_and_nothing_is_said_outside_the_mask(fitted: Any) -> None:
    maps, _ = fitted
    for name in ("cbf", "cbv", "mtt", "delay", "tmax", "cbf_sd", "mtt_sd", "delay_sd", "tmax_sd"):
        assert maps[name].dtype == np.float32
        np.testing.assert_array_equal(np.isfinite(maps[name]), ellipsoid())
    assert (maps["cbf_sd"][ellipsoid()] > 0).all()
    np.testing.assert_array_equal(maps["quality"] == 0, ellipsoid())


def test_the_same_seed_gives_the_same_maps_bit_for_bit(fitted: Any) -> None:
    again, _ = run()
    other, _ = run(seed=7)
    np.testing.assert_array_equal(again["cbf"], fitted[0]["cbf"])
    assert not np.array_equal(other["cbf"], fitted[0]["cbf"], equal_nan=True)


def test_what_alike_tissue_and_borders_add_is_stored_with_the_field(tmp_path: Path) -> None:
    noisy = scan(noise=3.0)
    maps, field = run(noisy, average=True, borders=True)
    bare, _ = run(noisy, average=True, borders=False)
    assert not np.array_equal(maps["cbf"], bare["cbf"], equal_nan=True)
    found = sample(load_field(save_field(field, tmp_path / "field.safetensors")))
    for name, values in found.items():
        np.testing.assert_array_equal(values, maps[name])


def test_a_stored_field_gives_the_very_same_maps_and_others_at_any_resolution(fitted: Any, tmp_path: Path) -> None:
    maps, field = fitted
    again = load_field(save_field(field, tmp_path / "field.safetensors"))
    found = sample(again)
    for name, values in found.items():
        np.testing.assert_array_equal(values, maps[name])
    fine = sample(again, spacing_mm=(3.5, 3.5, 10.0))
    assert fine["cbf"].shape == (40, 48, 4)
    blocks = fine["cbf"].reshape(20, 2, 24, 2, 4).mean(axis=(1, 3))
    inner = np.isfinite(blocks)
    assert inner.sum() > 300
    assert np.corrcoef(blocks[inner], maps["cbf"][inner])[0, 1] > 0.97
    curves, times = fitted_curves(again, times_s=np.linspace(0, 58.5, 79))
    assert curves.shape == (*SHAPE, 79)
    assert np.isfinite(curves[ellipsoid()]).all()
    assert times.size == 79


class Stopping(NoWatch):
    """Keeps checkpoints, losses and the last preview; cancels after some steps."""

    def __init__(self, folder: Path, after: int = 10**9) -> None:
        self.checkpoint, self.after = folder, after
        self.losses: list[float] = []
        self.shown: dict[str, np.ndarray] = {}

    def loss(self, step: int, steps: int, parts: Any) -> None:
        assert steps == 12
        assert parts["loss"] == pytest.approx(parts["data"] + parts["smoothness"])
        self.losses.append(parts["loss"])

    def preview(self, make: Any) -> None:
        self.shown = dict(make())

    def progress(self, fraction: float, stage: str) -> None:
        assert 0.0 <= fraction <= 1.0
        if len(self.losses) >= self.after:
            raise CancelledError


def test_a_cancelled_fit_goes_on_as_if_it_had_never_stopped(fitted: Any, tmp_path: Path) -> None:
    first = Stopping(tmp_path, after=5)
    with pytest.raises(CancelledError):
        run(watch=first, progress=first.progress)
    assert [path.name for path in tmp_path.iterdir()] == ["neural.checkpoint.safetensors"]
    with pytest.raises(InvalidInputError, match="belongs to another scan or other settings"):
        run(watch=Stopping(tmp_path), seed=3)
    second = Stopping(tmp_path)
    maps, field = run(watch=second, progress=second.progress)
    assert len(first.losses) + len(second.losses) == 12
    np.testing.assert_array_equal(maps["cbf"], fitted[0]["cbf"])
    np.testing.assert_array_equal(field.history["loss"], fitted[1].history["loss"])
    assert not list(tmp_path.iterdir())


def test_whoever_looks_on_sees_losses_and_previews(tmp_path: Path) -> None:
    watch = Stopping(tmp_path)
    run(watch=watch)
    assert len(watch.losses) == 12
    assert set(watch.shown) == {"cbf", "tmax"}
    np.testing.assert_array_equal(np.isfinite(watch.shown["cbf"]), ellipsoid())


def test_curves_with_missing_samples_are_left_out_and_named() -> None:
    given = scan()
    given["concentration"][10, 12, 2, 5] = np.nan
    maps, field = run(given, steps=2)
    assert np.isnan(maps["cbf"][10, 12, 2])
    assert maps["quality"][10, 12, 2] == 2
    assert not field.mask[10, 12, 2]
    assert np.isfinite(maps["cbf"]).sum() == ellipsoid().sum() - 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"rate": "fast"}, "rate must be a number"),
        ({"model_error": -1}, "model_error must be a number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"family": "round"}, "no residue family"),
        ({"start": "nowhere.safetensors"}, "There is no file"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        run(**settings)


def test_voxels_without_neighbors_need_a_grid() -> None:
    with pytest.raises(InvalidInputError, match="looks at neighbors"):
        fit(np.ones((5, TIMES.size)), scan()["aif"], TIMES, method="neural", affine=AFFINE)
