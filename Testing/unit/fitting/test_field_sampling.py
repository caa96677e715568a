# SPDX-License-Identifier: Apache-2.0
"""Sampling a field: its own grid exactly, other grids where the answer is known, curves of the forward model."""

from __future__ import annotations

import numpy as np
import pytest
from field_examples import AFFINE, FACTOR, SHAPE, TIMES, arterial, ball, raster, smooth_parameters
from scipy.signal import fftconvolve
from scipy.spatial.transform import Rotation

from PerfusionSuiteLib.core.errors import GridMismatchError, InvalidInputError
from PerfusionSuiteLib.fitting import fitted_aif, fitted_curves, sample

FINE = np.linspace(0.0, 60.0, 60001)


def expected(points_mm: np.ndarray) -> dict[str, np.ndarray]:
    log_volume, center, log_mtt = np.moveaxis(smooth_parameters(points_mm), -1, 0)
    mtt = np.exp(log_mtt)
    cbv = np.exp(log_volume) * FACTOR / 60.0
    return {"cbv": cbv, "cbf": 60 * cbv / mtt, "mtt": mtt, "tmax": center, "delay": center - mtt / 2}


def places(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return (np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]).reshape(*shape, 3)


def inner(maps: dict[str, np.ndarray], affine: np.ndarray) -> np.ndarray:
    """Voxels all of whose eight neighbors in the field have a value: there a linear field is met exactly."""
    index = (places(affine, maps["cbf"].shape) - AFFINE[:3, 3]) @ np.linalg.inv(AFFINE[:3, :3]).T
    low = np.floor(index + 1e-9).astype(int)
    mask = np.pad(ball(), 2)
    full = np.ones(low.shape[:3], bool)
    for corner in np.ndindex(2, 2, 2):
        at = np.clip(low + corner + 2, 0, np.array(mask.shape) - 1)
        full &= mask[tuple(np.moveaxis(at, -1, 0))]
    return full


def test_maps_at_voxel_centers_are_the_values_of_the_field() -> None:
    maps = sample(raster())
    truth = expected(places(AFFINE, SHAPE))
    for name, values in truth.items():
        assert maps[name].shape == SHAPE
        assert maps[name].dtype == np.float32
        np.testing.assert_array_equal(np.isfinite(maps[name]), ball())
        np.testing.assert_allclose(maps[name][ball()], values[ball()], rtol=2e-6, atol=2e-6)


def test_a_grid_that_is_the_same_but_for_rounding_gives_the_same_maps_bit_for_bit() -> None:
    same = AFFINE + 1e-9
    same[3] = [0, 0, 0, 1]
    one, other = sample(raster()), sample(raster(), affine=same, shape=SHAPE)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def oblique() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -15, 30], degrees=True).as_matrix() * [1.1, 1.3, 1.7]
    middle = AFFINE[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + AFFINE[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ [9.5, 9.5, 7.5]
    return affine


@pytest.mark.parametrize("how", ["finer", "coarser", "oblique"])
def test_other_grids_show_the_same_field(how: str) -> None:
    if how == "oblique":
        affine, maps = oblique(), sample(raster(), affine=oblique(), shape=(20, 20, 16))
    else:
        spacing = (0.7, 0.9, 1.5) if how == "finer" else (3.5, 3.0, 6.0)
        maps = sample(raster(), spacing_mm=spacing)
        from PerfusionSuiteLib.fitting import sampling_grid

        affine, shape = sampling_grid(raster(), spacing_mm=spacing)
        assert maps["cbf"].shape == shape
    known = inner(maps, affine)
    assert known.sum() > 100
    for name, values in expected(places(affine, maps["cbf"].shape)).items():
        np.testing.assert_allclose(maps[name][known], values[known], rtol=1e-5, atol=1e-5)


def test_nothing_is_said_outside_the_mask() -> None:
    maps = sample(raster(), spacing_mm=1.0)
    volume = np.isfinite(maps["cbf"]).sum() * 1.0
    assert volume == pytest.approx(ball().sum() * abs(np.linalg.det(AFFINE[:3, :3])), rel=0.05)
    far = AFFINE.copy()
    far[:3, 3] += 500.0
    assert not np.isfinite(sample(raster(), affine=far, shape=(4, 4, 4))["cbf"]).any()


def test_a_new_shape_keeps_the_field_of_view() -> None:
    from PerfusionSuiteLib.fitting import sampling_grid

    affine, shape = sampling_grid(raster(), shape=(34, 30, 3))
    assert shape == (34, 30, 3)
    corner = np.array([-0.5, -0.5, -0.5, 1.0])
    np.testing.assert_allclose(affine @ corner, AFFINE @ corner, atol=1e-9)


def test_a_grid_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="affine and shape together"):
        sample(raster(), affine=AFFINE)
    with pytest.raises(InvalidInputError, match="not both"):
        sample(raster(), shape=(3, 3, 3), spacing_mm=1.0)
    with pytest.raises(InvalidInputError, match="The spacing must be one or three positive numbers"):
        sample(raster(), spacing_mm=(1.0, -1.0, 1.0))
    with pytest.raises(InvalidInputError, match="cannot be sampled"):
        sample(raster(), spacing_mm=0.011)


def direct(family: str, flow: float, mtt: float, delay: float, times_s: np.ndarray) -> np.ndarray:
    """The convolution integral by brute force."""
    step = FINE[1]
    residue = np.exp(-FINE / mtt) if family == "gamma:1" else (FINE < mtt).astype(float)
    if family == "gamma:2":
        residue = np.exp(-2 * FINE / mtt) * (1 + 2 * FINE / mtt)
    curve = fftconvolve(arterial(FINE), residue)[: FINE.size] * step
    return flow * np.interp(times_s - delay, FINE, curve)


@pytest.mark.parametrize("family", ["box", "gamma:1", "gamma:2"])
def test_curves_are_those_of_the_model_on_any_time_grid(family: str) -> None:
    field = raster(family)
    wanted = np.zeros(SHAPE, bool)
    wanted[8, 7, 3] = wanted[5, 7, 2] = True
    times = np.linspace(0.0, 60.0, 151)
    curves, at = fitted_curves(field, times_s=times, mask=wanted)
    np.testing.assert_array_equal(at, times)
    assert np.isfinite(curves).all(axis=3).sum() == 2
    maps = sample(field)
    for voxel in np.argwhere(wanted):
        flow, mtt, delay = (float(maps[name][tuple(voxel)]) for name in ("cbf", "mtt", "delay"))
        exact = direct(family, flow / FACTOR, mtt, delay, times)
        # Between frames the arterial input is interpolated.
        np.testing.assert_allclose(curves[tuple(voxel)], exact, atol=0.002 * exact.max())


def test_curves_at_the_frames_are_the_default() -> None:
    curves, times = fitted_curves(raster())
    assert curves.shape == (*SHAPE, TIMES.size)
    np.testing.assert_array_equal(times, TIMES)
    np.testing.assert_array_equal(np.isfinite(curves).all(axis=3), ball())


def test_dispersed_curves_keep_their_area_and_come_at_the_same_mean_time() -> None:
    sharp, times = fitted_curves(raster("gamma:2", 0.0))
    spread, _ = fitted_curves(raster("gamma:2", 0.5))
    at = (8, 7, 3)
    assert spread[at].max() < sharp[at].max()
    assert spread[at].sum() == pytest.approx(sharp[at].sum(), rel=0.01)
    assert (spread[at] @ times) / spread[at].sum() == pytest.approx((sharp[at] @ times) / sharp[at].sum(), abs=0.05)


def test_the_arterial_curve_is_met_at_the_frames_and_smooth_between_them() -> None:
    curve, _ = fitted_aif(raster())
    np.testing.assert_allclose(curve, arterial(TIMES))
    fine, _ = fitted_aif(raster(), np.linspace(0, 60, 481))
    np.testing.assert_allclose(fine, arterial(np.linspace(0, 60, 481)), atol=1.5)


def test_times_outside_the_scan_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"leave the scan \(0 s to 60 s\)"):
        fitted_curves(raster(), times_s=[0.0, 61.0])
    with pytest.raises(InvalidInputError, match="increasing seconds"):
        fitted_aif(raster(), [3.0, 2.0])
    with pytest.raises(GridMismatchError, match="The mask has shape"):
        fitted_curves(raster(), mask=np.ones((2, 2, 2), bool))
