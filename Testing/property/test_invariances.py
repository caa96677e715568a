# SPDX-License-Identifier: Apache-2.0
"""What must not change a result: the unit of contrast, the order of voxels, the time at which the clock starts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PerfusionSuiteLib import lesion, pipeline
from PerfusionSuiteLib.core import PerfusionMaps
from PerfusionSuiteLib.deconvolution import deconvolve
from PerfusionSuiteLib.fitting import fit

TIMES = 1.5 * np.arange(28)
QUICK = settings(max_examples=8, deadline=None, derandomize=True)
METHODS = [name for name in pipeline.methods() if name in {"ssvd", "ssvd-delay", "csvd", "osvd", "tikhonov", "nlr"}]
KEYS = ("cbf", "cbv", "mtt", "tmax")


def curves(seed, voxels=30):
    """Return (tissue curves, AIF) of boxes of random flow, transit time and delay, with noise."""
    rng = np.random.default_rng(seed)
    x = np.maximum(TIMES - 6.0, 0.0) / 6.0
    aif = 120.0 * x**3 * np.exp(3.0 * (1.0 - x))
    fine = np.arange(0.0, TIMES[-1] + 1.5, 0.1)
    fine_aif = np.interp(fine, TIMES, aif)
    tissue = []
    for _ in range(voxels):
        flow, mtt, delay = rng.uniform(0.002, 0.015), rng.uniform(3.0, 9.0), rng.uniform(0.0, 5.0)
        residue = ((fine >= delay) & (fine < delay + mtt)).astype(float)
        tissue.append(np.interp(TIMES, fine, flow * 0.1 * np.convolve(fine_aif, residue)[: fine.size]))
    tissue = np.array(tissue) + rng.normal(0.0, 0.15, (voxels, TIMES.size))
    return tissue.astype(np.float32), aif


def computed(method, tissue, aif, times=TIMES):
    if method == "nlr":
        return fit(tissue, aif, times, method=method)[0]
    return deconvolve(tissue, aif, times, method=method)


def assert_same(one, two, rtol):
    for key in KEYS:
        assert np.array_equal(np.isnan(one[key]), np.isnan(two[key])), key
        scale = np.nanmax(np.abs(one[key])) if np.isfinite(one[key]).any() else 1.0
        np.testing.assert_allclose(two[key], one[key], rtol=rtol, atol=rtol * scale, err_msg=key)


@pytest.mark.parametrize("method", METHODS)
@QUICK
@given(seed=st.integers(0, 10_000), power=st.integers(-6, 6))
def test_the_unit_of_contrast_does_not_matter(method, seed, power):
    tissue, aif = curves(seed)
    factor = 2.0**power  # exact in binary, so that only the method can make a difference
    assert_same(computed(method, tissue, aif), computed(method, tissue * np.float32(factor), aif * factor), 2e-3)


@pytest.mark.parametrize("method", METHODS)
@QUICK
@given(seed=st.integers(0, 10_000), data=st.data())
def test_voxels_do_not_know_of_each_other(method, seed, data):
    tissue, aif = curves(seed)
    order = np.array(data.draw(st.permutations(range(tissue.shape[0]))))
    one, two = computed(method, tissue, aif), computed(method, tissue[order], aif)
    # The iterative fit stops within its own tolerance, which depends on the last bits of sums.
    assert_same({key: one[key][order] for key in KEYS}, two, 3e-2 if method == "nlr" else 1e-4)


@pytest.mark.parametrize("method", METHODS)
@QUICK
@given(seed=st.integers(0, 10_000), start=st.integers(-2000, 2000))
def test_the_start_of_the_clock_does_not_matter(method, seed, start):
    tissue, aif = curves(seed)
    assert_same(computed(method, tissue, aif), computed(method, tissue, aif, TIMES + 0.5 * start), 1e-4)


BY_PERFUSION = sorted(name for name, preset in lesion.PRESETS.items() if preset.core_rule != "adc")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), sizes=st.tuples(*[st.floats(0.8, 6.0)] * 3), preset=st.sampled_from(BY_PERFUSION))
def test_volumes_add_up(seed, sizes, preset):
    rng = np.random.default_rng(seed)
    shape = (24, 24, 5)
    affine = np.diag([-sizes[0], -sizes[1], sizes[2], 1.0])
    values = {
        "tmax": rng.uniform(0.0, 4.0, shape),
        "cbf": rng.uniform(30.0, 60.0, shape),
        "cbv": rng.uniform(2.5, 4.5, shape),
        "mtt": rng.uniform(3.0, 6.0, shape),
        "delay": rng.uniform(0.0, 2.0, shape),
    }
    i, j = rng.integers(2, 12, 2)
    lesion_place = np.s_[i : i + 6, j : j + 6]
    for key, (low, high) in {"tmax": (5, 14), "cbf": (2, 30), "cbv": (0.5, 4), "mtt": (6, 14), "delay": (2, 8)}.items():
        values[key][lesion_place] = rng.uniform(low, high, values[key][lesion_place].shape)
    maps, lesions = lesion.segment(
        PerfusionMaps.from_arrays({key: value.astype(np.float32) for key, value in values.items()}, affine), preset=preset
    )
    numbers = lesion.metrics(maps, lesions).values
    hypoperfusion, core, penumbra = (
        numbers[f"{name}_volume_ml"] for name in ("hypoperfusion", "infarct_core", "penumbra")
    )  # fmt: skip
    voxel_ml = float(np.prod(sizes)) / 1000.0
    rounding = 2e-4  # volumes are told to a ten-thousandth of a milliliter
    assert hypoperfusion == pytest.approx(lesions.hypoperfusion.sum() * voxel_ml, abs=rounding)
    assert core == pytest.approx(lesions.core.sum() * voxel_ml, abs=rounding)
    assert penumbra == pytest.approx(hypoperfusion - (lesions.core & lesions.hypoperfusion).sum() * voxel_ml, abs=rounding)
    assert not (lesions.penumbra & lesions.core).any()
    assert (lesions.hypoperfusion <= lesions.tissue).all()
    steps = [numbers["volumes_unfiltered_ml"][f"tmax_gt_{limit}"] for limit in (4, 6, 8, 10)]
    assert steps == sorted(steps, reverse=True)
    halves = numbers["hemispheres"]
    assert halves["left"]["hypoperfusion_ml"] + halves["right"]["hypoperfusion_ml"] == pytest.approx(hypoperfusion, abs=rounding)
