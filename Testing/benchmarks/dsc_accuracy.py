# SPDX-License-Identifier: Apache-2.0
"""DSC-MRI: exactness of delta R2*, leakage correction, tumors and strokes of digital patients through the whole chain.

Usage: python dsc_accuracy.py [relaxation] [leakage] [tumor] [stroke] [--patients N] [--development]
Without names all parts run. Figure seeds come from the commit's hash; ``--development`` takes seeds from 1 on.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds
from numpy.typing import NDArray

from PerfusionSuiteLib import phantom, pipeline
from PerfusionSuiteLib.prepare.dsc import dsc_concentration
from PerfusionSuiteLib.prepare.dsc_frames import drop_dummies
from PerfusionSuiteLib.prepare.leakage import fit_leakage
from PerfusionSuiteLib.prepare.mr_masks import mr_tissue_masks

GRID: dict[str, Any] = {"shape": (112, 112, 16), "spacing_mm": (2.1, 2.1, 6.0)}
PARTS = ("relaxation", "leakage", "tumor", "stroke")


def relaxation(seeds: list[int]) -> None:
    """Delta R2* of noise-free patients against its definition in double precision."""
    print("seed        echoes  voxels  saturated  largest error over the largest value")
    for seed in seeds[:3]:
        for dual in (False, True):
            series, _ = phantom.dsc_echoes(seed=seed, recipe="clean", snr=np.inf, motion="none", dual_echo=dual, **GRID)
            echoes = [drop_dummies(s) for s in series]
            found = dsc_concentration(echoes[0], mr_tissue_masks(echoes[0]), second_echo=echoes[1] if dual else None)
            c, good = found.concentration, found.concentration.mask & ~found.saturated
            te = [s.acquisition.echo_times_s[0] for s in echoes]
            logs = [_log_ratio(s.data[good].astype(np.float64), c.baseline_frames) for s in echoes]
            true = (logs[0] - logs[1]) / (te[1] - te[0]) if dual else -logs[0] / te[0]
            error = np.abs(c.data[good] - true).max() / true.max()
            print(f"{seed:10d}  {len(te):6d}  {good.sum():6d}  {found.saturated.sum():9d}  {error:.1e}")


def _log_ratio(signal: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    return np.log(signal / signal[:, :frames].mean(axis=1, keepdims=True))


def leakage() -> None:
    """Simulated curves: K1 0.5-3, K2 0.01 and 0.05 1/s of both signs, frames of 1.5 s, noise 0.3 1/s (classical-perfusion 5)."""
    rng, step = np.random.default_rng(2026), 0.02
    times, fine = np.linspace(0.0, 118.5, 80), np.linspace(0.0, 120.0, 6001)
    blood = _gamma(fine, 15.0, 1.5) + 0.2 * _gamma(fine, 28.0, 3.0)
    tissue = np.convolve(blood, np.exp(-fine / 4.0))[: fine.size]
    tissue *= 10.0 / tissue.max()
    reference = np.interp(times, fine, tissue)
    print("model          rCBV error before  after   sign of K2 right")
    for model, rate in (("bsw", 0.0), ("bidirectional", 0.02)):
        total = np.zeros_like(fine)
        for n in range(1, fine.size):
            total[n] = total[n - 1] * np.exp(-rate * step) + 0.5 * step * (tissue[n] + tissue[n - 1])
        k1, k2 = (np.repeat(v.ravel(), 200) for v in np.meshgrid(np.linspace(0.5, 3.0, 26), [0.01, -0.01, 0.05, -0.05]))
        clean = k1[:, None] * reference - k2[:, None] * np.interp(times, fine, total)
        curves = (clean + 0.3 * rng.standard_normal(clean.shape)).astype(np.float32)
        found = fit_leakage(curves, reference, times, model=model, first_frame=9)
        true = k1 * _area(reference, times)
        before, after = (np.abs(_area(c, times) / true - 1.0).mean() for c in (curves, found.corrected))
        print(f"{model:14s} {before:16.1%} {after:7.2%} {(np.sign(found.k2) == np.sign(k2)).mean():15.1%}")


def _gamma(times: NDArray[np.float64], start: float, width: float) -> NDArray[np.float64]:
    x = np.maximum(times - start, 0.0) / width
    return x**3 * np.exp(-x)


def _area(curves: NDArray[Any], times: NDArray[np.float64]) -> Any:
    return np.trapezoid(curves[..., 9:], times[9:], axis=-1)


def tumor(seeds: list[int]) -> None:
    """Blood volume of leaky tumors relative to white matter, without and with correction."""
    print("seed        true   none    bsw  bidirectional  K2 of bsw (expected)")
    errors: dict[str, list[float]] = {"none": [], "bsw": [], "bidirectional": []}
    for seed in seeds:
        series, truth = phantom.dsc(seed=seed, site="tumor", motion="none", **GRID)
        mask = truth.masks["tumor_alive"]
        white = (truth.fractions["wm"] > 0.9) & ~truth.masks["tumor"]
        true = float(np.nanmean(truth.maps["cbv"][mask]) / np.nanmedian(truth.maps["cbv"][white]))
        row, k2 = [], float("nan")
        for model in errors:
            settings = pipeline.Settings(preset="tumor", leakage_correction=model, motion_correction=False)
            study = pipeline.run(series, settings, inputs=pipeline.UserInputs(roi_mask=mask))
            row.append(study.metrics.values["tumor"]["rcbv_mean"])
            errors[model].append(abs(row[-1] / true - 1.0))
            if model == "bsw" and "k2" in study.maps:
                k2 = float(np.nanmedian(study.maps["k2"].values[mask]))
        expected = truth.parameters["tumor"]["k2_expected_per_s"]
        print(f"{seed:10d}  {true:5.2f}  {row[0]:5.2f}  {row[1]:5.2f}  {row[2]:13.2f}  {k2:8.3f} ({expected:.3f})")
    for model, values in errors.items():
        print(f"median |error| {model:14s} {np.median(values):6.1%}")


def stroke(seeds: list[int]) -> None:
    """Tmax > 6 s and ADC core against the truth; lesions of at least 10 mL and cores of at least 5 mL."""
    print("seed        site         Tmax Dice  core Dice (ADC)  core mL  found  CBF r  motion")
    tmax_dice, core_dice = [], []
    for seed in seeds:
        series, truth = phantom.dsc(seed=seed, site="m1", **GRID)
        study = pipeline.run(series, pipeline.Settings(preset="adc"), inputs=pipeline.UserInputs(adc=truth.maps["adc_measured"]))
        tissue = study.lesions.tissue
        scored = tissue & truth.masks["scored"]
        late = _dice(study.lesions.hypoperfusion & scored, truth.masks["hypoperfusion"] & scored)
        low = truth.masks["core_drawn"] & (np.nan_to_num(truth.maps["adc"], nan=9e3) < 620)
        core = _dice(study.lesions.core & scored, low & scored)
        normal = truth.masks["pure"] & scored & ~truth.masks["hypoperfusion"]
        r = np.corrcoef(study.maps["cbf"].values[normal], truth.maps["cbf"][normal])[0, 1]
        drawn, found = truth.volumes_ml["core_drawn"], study.metrics.values["infarct_core_volume_ml"]
        kind = truth.parameters["motion"]["kind"]
        print(f"{seed:10d}  {'m1':11s}  {late:9.3f}  {core:15.3f}  {drawn:7.1f}  {found:5.1f}  {r:5.2f}  {kind}")
        if truth.volumes_ml["hypoperfusion"] >= 10:
            tmax_dice.append(late)
        if drawn >= 5:
            core_dice.append(core)
    for name, values in (("Tmax", tmax_dice), ("core", core_dice)):
        print(f"median {name} Dice {np.median(values) if values else float('nan'):.3f} of {len(values)}")


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / max(int(a.sum() + b.sum()), 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=(*PARTS, []), help="which parts (default all)")
    parser.add_argument("--patients", type=int, default=5, help="digital patients per part")
    parser.add_argument("--development", action="store_true", help="seeds from 1 on instead of those of the commit")
    options = parser.parse_args()
    seeds = list(range(1, options.patients + 1)) if options.development else figure_seeds(options.patients)
    print(f"commit {commit_id()}, seeds {seeds}")
    for part in options.parts or PARTS:
        print(f"\n== {part}: {(globals()[part].__doc__ or '').splitlines()[0]}")
        globals()[part](*([] if part == "leakage" else [seeds]))


if __name__ == "__main__":
    main()
