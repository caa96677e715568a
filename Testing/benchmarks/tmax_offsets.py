# SPDX-License-Identifier: Apache-2.0
"""What is added to Tmax thresholds, and multiplied with relative CBF thresholds, so that they mean the same for each method.

    python Testing/benchmarks/tmax_offsets.py [--seeds 11 12 13 ...] [--noise 4] [--methods osvd csvd ...]
    python Testing/benchmarks/tmax_offsets.py --modality dsc --methods hemopic hemopic-aif hemopic-compat

Development patients (seeds below 1000) through the whole chain, its own arterial curve included. For every method the offset o is
found for which Tmax > 6 s + o agrees best with the drawn hypoperfusion (true delay + MTT/2 > 6 s), and at that offset the
factor f for which relative CBF < f 30 % agrees best with the drawn core: mean Dice on scored voxels, without clusters below 1 mL,
over lesions of at least 10 mL and cores of at least 5 mL. The tables `TMAX_OFFSET_S` and `RCBF_FACTOR` of
`PerfusionSuiteLib.lesion.presets` hold the results. The offset that is tried holds for normal tissue, too, which those of
`PLAIN_OFFSET_S` do not: look at the factor of such a method with care.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
from figure_seeds import commit_id

from PerfusionSuiteLib import lesion, phantom, pipeline
from PerfusionSuiteLib.evaluation import dice

OFFSETS_S = np.round(np.arange(-10, 9) * 0.25, 2)
FACTORS = np.round(0.7 + 0.05 * np.arange(29), 2)
LEAST_ML = {"hypoperfusion": 10.0, "core": 5.0}


def segmented(study: pipeline.Study, truth: Any, offset_s: float, factor: float) -> tuple[float, float]:
    """Return the Dice of hypoperfusion and core at an offset and a factor."""
    preset = replace(lesion.find_preset("ct-perfusion-auto"), tmax_offset_s={"*": offset_s}, rcbf_factor={"*": factor})
    found = lesion.segment(study.maps, masks=study.masks, preset=preset, midplane=study.lesions.midplane)[1]
    scored = truth.masks["scored"]
    pairs = ((found.hypoperfusion, truth.masks["hypoperfusion"]), (found.core, truth.masks["core"]))
    first, second = (dice(mask & scored, true & scored) for mask, true in pairs)
    return first, second


def best(scores: list[list[float]], levels: np.ndarray) -> tuple[float, float]:
    """Return the level of best mean Dice, and that Dice."""
    mean = np.mean(scores, axis=0)
    return float(levels[mean.argmax()]), float(mean.max())


def patient(modality: str, seed: int, noise_hu: float) -> tuple[Any, Any]:
    """Return a development patient and its truth."""
    if modality == "dsc":
        return phantom.dsc(seed=seed, shape=(96, 96, 10), spacing_mm=(2.3, 2.3, 7.0))
    return phantom.ctp(seed=seed, noise_hu=noise_hu, shape=(128, 128, 8), spacing_mm=(1.7, 1.7, 10.0), interval_s=1.0)


def settings_of(name: str) -> pipeline.Settings:
    """Return the settings of a method as the tables of thresholds call it."""
    if name == "hemopic-aif":
        return pipeline.Settings(method="hemopic", method_options={"input": "aif"})
    return pipeline.Settings(method=name)


def usual_methods(modality: str) -> list[str]:
    """Return the methods for a kind of scan."""
    names = [name for name, entry in pipeline.methods().items() if modality in getattr(entry, "modalities", ("ctp", "dsc"))]
    return [*names, "hemopic-aif"] if modality == "dsc" else names


def main() -> None:
    """Print the best offset and factor of each method."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(11, 21)))
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--modality", choices=("ctp", "dsc"), default="ctp")
    parser.add_argument("--methods", nargs="+")
    options = parser.parse_args()
    print(f"commit {commit_id()}  {options.modality}  seeds {options.seeds}  noise {options.noise:g} HU (CT)")
    patients = [patient(options.modality, seed, options.noise) for seed in options.seeds]
    print("method         offset_s   dice   factor   dice   lesions  cores")
    for method in options.methods or usual_methods(options.modality):
        studies = [(pipeline.run(series, settings_of(method)), truth) for series, truth in patients]
        late = [s for s in studies if s[1].volumes_ml["hypoperfusion"] >= LEAST_ML["hypoperfusion"]]
        low = [s for s in studies if s[1].volumes_ml["core"] >= LEAST_ML["core"]]
        offset, agreed = best([[segmented(*s, float(o), 1.0)[0] for o in OFFSETS_S] for s in late], OFFSETS_S)
        factor, core = best([[segmented(*s, offset, float(f))[1] for f in FACTORS] for s in low], FACTORS)
        print(f"{method:14s} {offset:8.2f} {agreed:6.3f} {factor:8.2f} {core:6.3f} {len(late):9d} {len(low):6d}", flush=True)


if __name__ == "__main__":
    main()
