# SPDX-License-Identifier: Apache-2.0
"""SPPINN and ReSPPINN as a user calls them: what is recovered, what changes nothing, going on, starts, and clear refusals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PerfusionSuiteLib.core.constants import flow_factor  # noqa: E402
from PerfusionSuiteLib.core.errors import CancelledError, InvalidInputError  # noqa: E402
from PerfusionSuiteLib.core.watch import NoWatch  # noqa: E402
from PerfusionSuiteLib.deconvolution import QualityCode  # noqa: E402
from PerfusionSuiteLib.fitting import fit, fitted_aif, fitted_curves, load_field, sample, save_field  # noqa: E402
from PerfusionSuiteLib.fitting.published.choices import SPPINN  # noqa: E402
from PerfusionSuiteLib.fitting.published.slices import complete, slice_order  # noqa: E402
from PerfusionSuiteLib.fitting.start_file import Frame, Start, load_start, save_start  # noqa: E402

pytestmark = pytest.mark.torch

SHAPE = (9, 8, 3)
AFFINE = np.diag([2.0, 2.0, 6.0, 1.0])
TIMES = np.linspace(0.0, 44.0, 23)
SMALL = {"batch": 200, "levels": 4, "log2_table": 9, "base": 4, "finest": 16, "steps": 20, "artery_steps": 20}
TINY = {"batch": 200, "width_tac": 16, "width_ode": 8, "width_aif": 8, "steps": 6, "artery_steps": 6, "variant": "resppinn-paper"}
OPTIONS: Mapping[str, Mapping[str, Any]] = {"resppinn": SMALL, "sppinn": TINY}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def artery(times: np.ndarray) -> np.ndarray:
    x = np.maximum(times - 8.0, 0.0) / 5.0
    return 300.0 * (x * np.exp(1.0 - x)) ** 3


def scan(flow: Any = 0.012, mtt: float = 5.0, delay: float = 2.0) -> np.ndarray:
    """Box residues everywhere, integrated numerically apart from the product."""
    fine = np.linspace(-20.0, 44.0, 6401)
    area = np.concatenate([[0.0], np.cumsum(0.5 * (artery(fine)[1:] + artery(fine)[:-1]) * np.diff(fine))])
    curve = np.interp(TIMES - delay, fine, area) - np.interp(TIMES - delay - mtt, fine, area)
    return (np.broadcast_to(np.asarray(flow, float), SHAPE)[..., None] * curve).astype(np.float32)


def run(
    method: str, data: np.ndarray | None = None, *, watch: Any = None, progress: Any = None, times: Any = TIMES, **settings: Any
) -> Any:
    arguments: dict[str, Any] = {"mask": settings.pop("mask", None), "affine": settings.pop("affine", AFFINE)}
    return fit(
        scan() if data is None else data, artery(TIMES) * settings.pop("aif_scale", 1.0), times, method=method, device="cpu",
        settings={**OPTIONS[method], **settings}, watch=watch, progress=progress, **arguments,
    )  # fmt: skip


class Notes(NoWatch):
    """Keeps what it is told."""

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.checkpoint = checkpoint
        self.codes: list[str] = []
        self.losses: list[tuple[int, int, Mapping[str, float]]] = []
        self.previews: list[Mapping[str, np.ndarray]] = []

    def loss(self, step: int, steps: int, parts: Mapping[str, float]) -> None:
        self.losses.append((step, steps, parts))

    def preview(self, make: Any) -> None:
        self.previews.append(make())

    def note(self, code: str, message: str, advice: str = "", **facts: Any) -> None:
        self.codes.append(code)


def test_resppinn_recovers_a_uniform_tissue_without_noise() -> None:
    maps, field = run("resppinn", steps=250, batch=400, artery_steps=300)
    assert np.median(maps["cbf"]) == pytest.approx(0.012 * flow_factor(), rel=0.15)
    assert np.median(maps["tmax"]) == pytest.approx(4.5, abs=0.6)
    assert field.history["loss"][-1] < 0.2 * field.history["loss"][0]
    assert np.abs(field.fitted_aif - artery(TIMES)).mean() < 0.02 * 300


def test_sppinn_tells_high_from_low_flow() -> None:
    flow = np.where(np.arange(SHAPE[0])[:, None, None] < 4, 0.016, 0.004)
    maps, _ = run("sppinn", scan(flow), steps=120, width_tac=32, width_ode=16, batch=300, artery_steps=100, preset="quick")
    assert np.median(maps["cbf"][:3]) > 1.5 * np.median(maps["cbf"][6:])


@pytest.mark.parametrize("method", ["sppinn", "resppinn"])
class TestEveryFit:
    def test_gives_the_same_maps_bit_for_bit_with_the_same_seed(self, method: str) -> None:
        first, second, other = run(method)[0], run(method)[0], run(method, seed=1)[0]
        for name in ("cbf", "cbv", "mtt", "delay", "tmax"):
            assert np.array_equal(first[name], second[name])
        assert not np.array_equal(first["cbf"], other["cbf"])

    def test_depends_neither_on_a_constant_in_time_nor_on_a_shift_of_the_clock(self, method: str) -> None:
        data = scan()
        first = run(method, data)[0]
        raised = run(method, data + np.float32(4.0))[0]
        later = run(method, data, times=TIMES + 100.0)[0]
        for name in ("cbf", "mtt", "delay"):
            assert raised[name] == pytest.approx(first[name], rel=1e-2)
            assert later[name] == pytest.approx(first[name], rel=1e-2)

    def test_depends_on_the_ratio_of_tissue_and_artery_only(self, method: str) -> None:
        first, doubled = run(method)[0], run(method, 2 * scan(), aif_scale=2.0)[0]
        assert np.array_equal(first["cbf"], doubled["cbf"])

    def test_has_maps_that_agree_with_each_other(self, method: str) -> None:
        maps, _ = run(method)
        assert maps["tmax"] == pytest.approx(maps["delay"] + maps["mtt"] / 2, rel=1e-5)
        assert maps["cbv"] == pytest.approx(maps["cbf"] * maps["mtt"] / 60, rel=1e-5)
        assert set(np.unique(maps["quality"])) == {QualityCode.OK}

    def test_leaves_out_what_is_outside_the_mask_or_not_finite(self, method: str) -> None:
        data, mask = scan(), np.ones(SHAPE, bool)
        mask[0], data[5, 5, 1, 3] = False, np.nan
        maps, field = run(method, data, mask=mask)
        assert maps["quality"][5, 5, 1] == QualityCode.NOT_FINITE
        assert (maps["quality"][0] == QualityCode.OUTSIDE_MASK).all()
        assert np.isnan(maps["cbf"][0]).all()
        assert np.isnan(maps["cbf"]).sum() == 24 + 1
        assert not field.mask[5, 5, 1]

    def test_gives_a_field_that_says_the_same_after_it_was_stored(self, method: str, tmp_path: Path) -> None:
        maps, field = run(method)
        loaded = load_field(save_field(field, tmp_path / "field.safetensors"))
        again = sample(loaded, device="cpu")
        for name in ("cbf", "mtt", "tmax"):
            assert np.array_equal(again[name], maps[name])
        finer = sample(loaded, spacing_mm=(1.0, 1.0, 3.0), device="cpu")
        assert finer["cbf"].shape == (18, 16, 6)
        assert np.isfinite(finer["cbf"]).all()
        curves, _ = fitted_curves(loaded, times_s=np.linspace(0, 44, 89), device="cpu")
        assert curves.shape == (*SHAPE, 89)
        assert np.isfinite(curves).all()
        assert fitted_aif(loaded, device="cpu")[0] == pytest.approx(field.fitted_aif, rel=1e-4, abs=1e-3)

    def test_goes_on_bit_for_bit_after_it_was_cancelled(self, method: str, tmp_path: Path) -> None:
        whole = run(method)[0]
        stops = {"resppinn": 0.4, "sppinn": 0.6}

        def cancel(fraction: float, stage: str) -> None:
            if fraction > stops[method]:
                raise CancelledError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("PerfusionSuiteLib.fitting.published.running.TOLD_S", 0.0)
            with pytest.raises(CancelledError):
                run(method, watch=Notes(tmp_path), progress=cancel)
        assert list(tmp_path.iterdir())
        with pytest.raises(InvalidInputError, match="belongs to another scan or other settings"):
            run(method, watch=Notes(tmp_path), seed=3)
        assert np.array_equal(run(method, watch=Notes(tmp_path))[0]["cbf"], whole["cbf"])
        assert not list(tmp_path.iterdir())

    def test_tells_losses_and_shows_previews(self, method: str) -> None:
        watch = Notes()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("PerfusionSuiteLib.fitting.published.running.TOLD_S", 0.0)
            run(method, watch=watch)
        step, steps, parts = watch.losses[-1]
        assert step == steps
        assert parts["loss"] == pytest.approx(parts["tac"] + parts["aif"] + parts["ode"], rel=1e-4)
        assert watch.previews[-1]["cbf"].shape == SHAPE

    def test_is_cut_to_a_time_limit_and_says_so(self, method: str) -> None:
        watch = Notes()
        _, field = run(method, watch=watch, steps=100_000, time_limit_s=1.0)
        assert "fit_shortened" in watch.codes
        assert field.history["seconds"][-1] < 10.0

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"norm": "l3"}, "Choose one of l1, l2"),
            ({"batch": 0}, "whole number of at least 1"),
            ({"rate": -1.0}, "positive number"),
            ({"encodings": 3}, "1 or 2"),
            ({"seed": -1}, "whole number of at least 0"),
            ({"clip": "wide"}, "patients, phantom, none"),
        ],
    )
    def test_refuses_settings_that_make_no_sense(self, method: str, setting: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            run(method, **setting)

    @pytest.mark.parametrize("derivative", ["autograd", "double"])
    def test_gives_the_same_maps_by_every_derivative(self, method: str, derivative: str) -> None:
        tangent, other = (run(method, steps=2, norm="l2", derivative=how)[0] for how in ("tangent", derivative))
        assert other["cbf"] == pytest.approx(tangent["cbf"], rel=1e-2)


@pytest.mark.parametrize(
    "settings", [{"preset": "published"}, {"encodings": 2}, {"scaling": "isotropic"}, {"norm": "l2"}, {"batch_of": "points"}]
)
def test_resppinn_runs_with_every_switch(settings: dict[str, Any]) -> None:
    assert np.isfinite(run("resppinn", **settings)[0]["cbf"]).all()


@pytest.mark.parametrize("variant", ["original-phantom", "original-patients", "resppinn-paper"])
def test_sppinn_runs_as_each_publication_has_it(variant: str) -> None:
    length = {"steps": 2} if variant == "resppinn-paper" else {"steps": None, "epochs": 1}
    maps, field = run("sppinn", variant=variant, preset="published", **length)
    assert np.isfinite(maps["cbf"]).all()
    assert field.weights["slices"].tolist() == [0, 1, 2]


class TestSlices:
    def test_go_outwards_from_the_middle_each_from_its_nearest_neighbor(self) -> None:
        order = slice_order(np.ones(5, bool))
        assert order == [(2, None), (3, 2), (1, 2), (4, 3), (0, 1)]

    def test_without_enough_samples_are_left_out_of_the_order(self) -> None:
        assert [k for k, _ in slice_order(np.array([True, True, False, False, False]))] == [1, 0]

    def test_with_fewer_samples_than_a_batch_have_no_values_and_a_note(self) -> None:
        mask = np.ones(SHAPE, bool)
        mask[2:, :, 2] = False
        watch = Notes()
        maps, _ = run("sppinn", mask=mask, watch=watch, batch=400)
        assert "slices_left_out" in watch.codes
        assert np.isnan(maps["cbf"][:, :, 2]).all()
        assert (maps["quality"][:2, :, 2] == QualityCode.POOR_FIT).all()
        assert np.isfinite(maps["cbf"][:, :, :2]).all()

    def test_that_are_all_too_small_are_refused(self) -> None:
        with pytest.raises(InvalidInputError, match="No slice has the 5000 samples"):
            run("sppinn", batch=5000)

    def test_are_seeded_by_a_fit_of_the_middle_one_of_twice_the_length(self) -> None:
        _, field = run("sppinn")
        seeding = field.history["step"][field.history["slice"] == -1]
        assert seeding.max() == 12
        assert (np.diff(field.history["step"]) > 0).all()
        assert field.history["step"].max() == 12 + 3 * 6

    def test_have_the_published_lengths(self) -> None:
        phantom = complete({**SPPINN, "variant": "original-phantom", "preset": "published"}, on_gpu=False)
        patients = complete({**SPPINN, "variant": "original-patients", "preset": "published"}, on_gpu=False)
        paper = complete({**SPPINN, "variant": "resppinn-paper", "preset": "auto"}, on_gpu=True)
        assert (phantom["epochs"], phantom["batch"], phantom["norm"], phantom["batch_of"]) == (300, 5000, "l2", "points")
        assert (patients["epochs"], patients["seeding"], patients["omega"]["tac"]) == (200, 2.0, (30.0, 1.0))
        assert (paper["steps"], paper["batch"], paper["norm"], paper["schedule"]) == (5000, 25000, "l1", "one-cycle")

    def test_on_a_cpu_are_fitted_shorter_and_the_user_is_told(self) -> None:
        watch = Notes()
        small = {
            "batch": 200,
            "steps": None,
            "width_tac": 4,
            "width_ode": 4,
            "width_aif": 4,
            "artery_steps": 2,
            "time_limit_s": 0.3,
        }
        run("sppinn", watch=watch, **small)
        assert watch.codes[0] == "sppinn_quick"


class TestRates:
    def test_and_every_other_number_are_the_published_ones_where_they_are_asked_for(self) -> None:
        from PerfusionSuiteLib.fitting.published.choices import RESPPINN
        from PerfusionSuiteLib.fitting.published.volume import complete as complete_volume

        found = complete_volume({**RESPPINN, "preset": "published"})
        numbers = {
            "rate": 1e-3,
            "table_rate": 1e-3,
            "warm_up": 0.0,
            "steps": 5000,
            "batch": 25000,
            "batch_of": "points",
            "norm": "l1",
        }
        numbers |= {"levels": 16, "features": 2, "log2_table": 15, "base": 16, "finest": 4096, "hidden": 3, "artery_steps": 0}
        numbers |= {"width_tac": 16, "width_aif": 16, "width_ode": 16, "omega": 15.0, "omega_aif": 1.0, "head_init": "published"}
        assert {name: found[name] for name in numbers} == numbers
        assert complete_volume({**RESPPINN, "preset": "published", "rate": 0.002})["rate"] == 0.002

    def test_of_the_features_are_their_own(self) -> None:
        def moved(table_rate: float) -> float:
            fields = [run("resppinn", steps=steps, table_rate=table_rate)[1] for steps in (1, 30)]
            return float(np.abs(fields[1].weights["encoding.table"] - fields[0].weights["encoding.table"]).max())

        assert moved(2e-2) > 5 * moved(1e-3)


class TestStart:
    FRAME = Frame("own", SHAPE, (2.0, 2.0, 6.0))

    def write(self, folder: Path, frame: Frame = FRAME, method: str = "resppinn", **settings: Any) -> Path:
        weights = run("resppinn", steps=60)[1].weights
        return save_start(folder / "start.safetensors", Start(method, weights, frame, settings, {"steps": 60}), half=False)

    def test_is_where_the_fit_begins(self, tmp_path: Path) -> None:
        path = self.write(tmp_path)
        cold, warm = run("resppinn", steps=5)[1], run("resppinn", steps=5, start=str(path))[1]
        assert warm.history["tac"][0] < 0.7 * cold.history["tac"][0]

    def test_shortens_the_published_number_of_steps(self, tmp_path: Path) -> None:
        from PerfusionSuiteLib.fitting.published.choices import RESPPINN
        from PerfusionSuiteLib.fitting.published.volume import complete as complete_volume

        assert complete_volume({**RESPPINN})["steps"] == 5000
        assert complete_volume({**RESPPINN, "start": "x"})["steps"] == 500

    def test_that_was_trained_briefly_is_no_reason_to_trust_a_short_fit(self, tmp_path: Path) -> None:
        watch = Notes()
        run("resppinn", start=str(self.write(tmp_path)), watch=watch)
        assert "resppinn_short" in watch.codes

    def test_of_another_raster_is_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, Frame("own", (64, 64, 16), (3.0, 3.0, 5.0)))
        with pytest.raises(InvalidInputError, match="64 x 64 x 16 voxels of 3 x 3 x 5 mm, but the fit runs in 9 x 8 x 3"):
            run("resppinn", start=str(path))

    def test_of_the_standard_frame_is_laid_over_the_scan(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, Frame("standard", (256, 256, 32), (0.91, 0.91, 5.0)))
        maps, field = run("resppinn", start=str(path))
        assert field.shape == (256, 256, 32)
        assert np.isfinite(maps["cbf"]).all()
        own = sample(field, affine=AFFINE, shape=SHAPE, device="cpu")
        inside = np.isfinite(own["cbf"])
        assert inside.mean() > 0.5
        assert own["cbf"][inside] == pytest.approx(maps["cbf"][inside], rel=1e-3)
        with pytest.raises(InvalidInputError, match="Set frame to standard"):
            run("resppinn", start=str(path), frame="scan")

    def test_with_other_networks_is_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, levels=16)
        with pytest.raises(InvalidInputError, match="trained with levels = 16, not 4"):
            run("resppinn", start=str(path))

    def test_of_another_method_or_no_file_is_refused(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, method="neural")
        with pytest.raises(InvalidInputError, match="belongs to the method 'neural'"):
            load_start(path, "resppinn")
        with pytest.raises(InvalidInputError, match="There is no file"):
            load_start(tmp_path / "none.safetensors", "resppinn")

    def test_keeps_its_weights_as_half_precision(self, tmp_path: Path) -> None:
        weights = {"a": np.linspace(-1, 1, 11, dtype=np.float32), "n": np.arange(3)}
        start = load_start(
            save_start(tmp_path / "s.safetensors", Start("resppinn", weights, self.FRAME, {}, {"seed": 1})), "resppinn"
        )
        assert start.weights["a"] == pytest.approx(weights["a"], abs=1e-3)
        assert start.weights["a"].dtype == np.float32
        assert np.array_equal(start.weights["n"], weights["n"])
        assert start.provenance == {"seed": 1}
