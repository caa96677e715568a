# SPDX-License-Identifier: Apache-2.0
"""What must be added to Tmax thresholds so that 6 s means the same tissue for each method.

    python Testing/benchmarks/tmax_offsets.py [--patients 6] [--noise 2 4] [--methods osvd csvd ...]

Development patients (seeds below 1000) with noise and the true arterial curve. For every method the offset o is found
for which Tmax > 6 s + o, without clusters below 1 mL, agrees best with the drawn hypoperfusion (true delay + MTT/2 > 6 s):
the mean Dice over patients with at least 10 mL.
The table of `PerfusionSuiteLib.lesion.presets.TMAX_OFFSET_S` holds the result, rounded to 0.1 s.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from figure_seeds import commit_id

from PerfusionSuiteLib import deconvolution, fitting, phantom, prepare
from PerfusionSuiteLib.evaluation import dice
from PerfusionSuiteLib.lesion.clusters import without_small_clusters

THRESHOLD_S = 6.0
OFFSETS_S = np.round(np.linspace(-3.0, 4.0, 71), 3)
_MIN_LESION_ML = 10.0


def tmax_maps(seed: int, noise_hu: float, methods: list[str], recipe: str) -> dict[str, Any]:
    """Return the Tmax map of each method, the truth, and where they are compared."""
    series, truth = phantom.ctp(
        seed=seed, recipe=recipe, noise_hu=noise_hu, shape=(128, 128, 8), spacing_mm=(1.7, 1.7, 8.0)
    )  # fmt: skip
    masks = prepare.tissue_masks(prepare.common_times(series))
    concentration = prepare.regular_times(prepare.ct_concentration(prepare.common_times(series), masks))
    smooth = prepare.reduce_noise(concentration, exclude=masks.csf | masks.vessel | masks.bone)
    aif = np.interp(smooth.times_s, truth.fine_times_s, truth.fine_aif)
    maps = {}
    for method in methods:
        if method in deconvolution.METHODS:
            found = deconvolution.deconvolve(smooth.data, aif, smooth.times_s, method=method, mask=smooth.mask)
        else:
            found, _ = fitting.fit(smooth.data, aif, smooth.times_s, method=method, affine=smooth.affine, mask=smooth.mask)
        maps[method] = found["tmax"]
    true = truth.maps["tmax"]
    compared = masks.tissue & truth.masks["scored"] & np.isfinite(true)
    voxel_ml = abs(np.linalg.det(series.affine[:3, :3])) / 1000.0
    target = compared & truth.masks["hypoperfusion"]
    return {
        "maps": maps,
        "true": true,
        "compared": compared,
        "target": target,
        "voxel_ml": voxel_ml,
        "ml": float(target.sum() * voxel_ml),
    }


def agreement(values: np.ndarray, case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return Dice and relative volume error at every offset."""
    late = np.nan_to_num(values, nan=-99.0) - THRESHOLD_S
    found = [without_small_clusters(case["compared"] & (late > offset), case["voxel_ml"], 1.0) for offset in OFFSETS_S]
    true = case["target"]
    return np.array([dice(f, true) for f in found]), np.array([f.sum() / true.sum() - 1.0 for f in found])


def main() -> None:
    """Print the best offset of each method."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--noise", type=float, nargs="+", default=[2.0, 4.0])
    parser.add_argument("--recipe", default="typical")
    parser.add_argument("--methods", nargs="+", default=[*deconvolution.METHODS, "nlr"])
    options = parser.parse_args()
    print(f"commit {commit_id()}  seeds 1-{options.patients} (with a lesion)  noise {options.noise} HU  recipe {options.recipe}")
    scores: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {method: [] for method in options.methods}
    shifts: dict[str, list[float]] = {method: [] for method in options.methods}
    for seed in range(1, options.patients + 1):
        for noise in options.noise:
            case = tmax_maps(seed, noise, options.methods, options.recipe)
            print(f"  seed {seed}, {noise:g} HU: hypoperfusion {case['ml']:.0f} mL", flush=True)
            for method, values in case["maps"].items():
                shifts[method].append(float(np.nanmedian((values - case["true"])[case["compared"]])))
                if case["ml"] >= _MIN_LESION_ML:
                    scores[method].append(agreement(values, case))
    names = ("method", "offset_s", "dice", "dice at 0", "volume error", "volume error at 0", "median shift_s", "cases")
    print("".join(f"{name:>19s}" for name in names))
    zero = int(np.abs(OFFSETS_S).argmin())
    for method, found in scores.items():
        if not found:
            print(f"{method:>19s}  no patient with a lesion of {_MIN_LESION_ML:g} mL")
            continue
        mean = np.mean([d for d, _ in found], axis=0)
        volume = np.median([v for _, v in found], axis=0)
        best = int(mean.argmax())
        numbers = (
            OFFSETS_S[best],
            mean[best],
            mean[zero],
            volume[best],
            volume[zero],
            float(np.median(shifts[method])),
            len(found),
        )
        print(f"{method:>19s}" + "".join(f"{number:19.3f}" for number in numbers))


if __name__ == "__main__":
    main()
