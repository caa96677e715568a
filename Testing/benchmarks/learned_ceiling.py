# SPDX-License-Identifier: Apache-2.0
"""How much better lesions could be than thresholds draw them: networks that were told the truth of other patients.

    python Testing/benchmarks/learned_ceiling.py --keep FOLDER [--seeds 201 202 ...] [--noise 4] [--folds 4]

Each seed is a digital patient (residues box, exponential and mixed in turn) that the default chain analyzes. A network for each
kind of lesion then sees, for every voxel of tissue, what the chain knows: the maps of `spatial` and of `csvd` behind the
similarity filter, samples of the latter's residue, means of the maps over three distances and of the slices above and below,
extremes of Tmax around the voxel, density, share of gray matter and the timing of normal tissue. It is trained on the truth of
some patients and draws the lesions of the others (cross-validation), so that no patient is judged by a network that has seen it.

Prints the Dice of the chain's own rules, of the network at fixed probabilities, and at the probability that suits each patient
best, which nobody knows; medians and means over lesions of at least 10 mL and cores of at least 5 mL. It is one such learner and
no proof of a bound; tissue that the chain leaves out (vessels, fluid) stays lost. FOLDER keeps what was computed of each patient
(30 MB), so a run that was stopped goes on. About a minute of a core per patient, then five for the networks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from chain_accuracy import GRID
from numpy.typing import NDArray
from scipy import ndimage

from PerfusionSuiteLib import deconvolution, phantom, pipeline, prepare
from PerfusionSuiteLib.core.geometry import voxel_sizes, voxel_volume_ml
from PerfusionSuiteLib.evaluation import seen_truth
from PerfusionSuiteLib.evaluation.row_file import code_fingerprint
from PerfusionSuiteLib.lesion.normal_timing import normal_timing

RESIDUES = ("box", "exponential", "mixed")
SEEDS = (*range(201, 217), *range(7001, 7017))
LEAST_ML = {"hypoperfusion": 10.0, "core": 5.0}
DISTANCES_MM = (1.2, 3.0, 7.0)
LAGS_S = np.arange(-2.0, 21.0, 2.0)
PROBABILITIES = (0.3, 0.4, 0.5)
TRIED = np.arange(0.1, 0.9, 0.05)
VOXELS_PER_PATIENT, EPOCHS, BATCH, UNITS = 15000, 12, 2048, 96


@dataclass
class Patient:
    """What is known of the voxels of a patient's tissue, and of those that no rule can find."""

    name: str
    residue: str
    ml: float
    features: NDArray[np.float32]
    truth: dict[str, NDArray[np.bool_]]
    ruled: dict[str, NDArray[np.bool_]]
    lost: dict[str, int]

    def dice(self, lesion: str, found: NDArray[np.bool_]) -> float:
        """Return the Dice of a mask, with the lesion's voxels outside of the tissue."""
        truth = self.truth[lesion]
        return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum() + self.lost[lesion]))


def around(values: NDArray[Any], tissue: NDArray[np.bool_], spacing: Sequence[float]) -> Iterator[NDArray[Any]]:
    """Yield means over tissue of the slice, and those of the slices beside it."""
    known = tissue & np.isfinite(values)
    for distance in DISTANCES_MM:
        sigma = (distance / spacing[0], distance / spacing[1], 0.0)
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigma)
        mean = ndimage.gaussian_filter(np.where(known, values, 0.0).astype(np.float32), sigma) / np.maximum(weight, 1e-3)
        yield mean
        if distance == DISTANCES_MM[0]:
            yield np.concatenate([mean[..., 1:], mean[..., -1:]], axis=2)
            yield np.concatenate([mean[..., :1], mean[..., :-1]], axis=2)


def examine(seed: int, residue: str, noise_hu: float) -> dict[str, Any]:
    """Analyze a patient; return arrays that a file can hold."""
    series, truth = phantom.ctp(seed=seed, recipe="typical", residue=residue, noise_hu=noise_hu, **GRID)
    study = pipeline.run(series, pipeline.Settings(method="spatial"))
    seen, lesions, maps, spacing = seen_truth(study, truth), study.lesions, study.maps, voxel_sizes(study.maps.affine)
    concentration, masks = study.concentration, study.masks
    quiet = prepare.smoothed_curves(concentration, exclude=masks.csf | masks.vessel | masks.bone)
    plain = deconvolution.deconvolve(quiet, study.aif.values, concentration.times_s, method="csvd", residue=True)
    at = np.minimum(np.searchsorted(plain["residue_times_s"], LAGS_S), len(plain["residue_times_s"]) - 1)

    def on_grid(values: NDArray[Any]) -> NDArray[np.float32]:
        grid = np.full(maps.shape, np.nan, np.float32)
        grid[concentration.mask] = values
        return grid

    tissue, scored = lesions.tissue, seen.masks["scored"]
    normal = normal_timing(maps, tissue, lesions.midplane).tmax
    share = prepare.gray_share(concentration.baseline, tissue, spacing)
    gray = np.full(maps.shape, 0.5, np.float32)
    gray[tissue] = 0.5 if share is None else share
    usual = float(np.nanmean(on_grid(plain["cbf"])[lesions.reference]))
    volumes = {
        "tmax": maps["tmax"].values, "rcbf": maps["rcbf"].values, "rcbv": maps["rcbv"].values, "mtt": maps["mtt"].values,
        "delay": maps["delay"].values, "plain_tmax": on_grid(plain["tmax"]), "plain_flow": on_grid(plain["cbf"]) / usual,
        "gray": gray,
    }  # fmt: skip
    columns = [*volumes.values(), concentration.baseline, normal, volumes["tmax"] - normal]
    columns += [maps[key].values for key in ("tmax_sd", "cbf_sd")]
    columns += [on_grid(plain["residue"][:, lag]) for lag in at]
    for values in volumes.values():
        columns += around(values, tissue, spacing)
    high, low = (np.where(np.isfinite(volumes["tmax"]) & tissue, volumes["tmax"], other) for other in (-99.0, 99.0))
    columns += [ndimage.maximum_filter(high, (5, 5, 1)), ndimage.minimum_filter(low, (5, 5, 1))]
    used = scored & tissue
    found: dict[str, Any] = {"features": np.stack([column[used] for column in columns], axis=1).astype(np.float16)}
    for name in LEAST_ML:
        found[f"truth_{name}"] = seen.masks[name][used]
        found[f"rule_{name}"] = getattr(lesions, name)[used]
        found[f"lost_{name}"] = int((seen.masks[name] & scored & ~used).sum())
    return found | {"ml": voxel_volume_ml(maps.affine)}


def patient(folder: Path, seed: int, residue: str, noise_hu: float) -> Patient:
    """Return a patient from its file, which is made when missing."""
    path = folder / f"{seed}_{residue}_{noise_hu:g}HU_{code_fingerprint()}.npz"
    if not path.exists():
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **examine(seed, residue, noise_hu))
        partial.replace(path)
    kept = np.load(path)
    masks = [{name: kept[f"{kind}_{name}"] for name in LEAST_ML} for kind in ("truth", "rule")]
    lost = {name: int(kept[f"lost_{name}"]) for name in LEAST_ML}
    features = np.nan_to_num(kept["features"].astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return Patient(path.stem.split("_HU")[0], residue, float(kept["ml"]), features, masks[0], masks[1], lost)


class Learner:
    """A network of two layers on standardized features."""

    def __init__(self, features: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        import torch

        torch.manual_seed(1)
        self._middle, self._width = np.median(features, axis=0), features.std(axis=0) + 1e-3
        sizes = (features.shape[1], UNITS, UNITS, 1)
        layers = [part for n, m in pairwise(sizes) for part in (torch.nn.Linear(n, m), torch.nn.SiLU())]
        self._net = torch.nn.Sequential(*layers[:-1])
        inputs, target = self._tensor(features), torch.from_numpy(truth.astype(np.float32))
        optimizer = torch.optim.AdamW(self._net.parameters(), lr=2e-3, weight_decay=1e-3)
        steps = EPOCHS * (len(inputs) // BATCH + 1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(inputs)).split(BATCH):
                optimizer.zero_grad()
                loss = torch.nn.functional.binary_cross_entropy_with_logits(self._net(inputs[batch])[:, 0], target[batch])
                loss.backward()
                optimizer.step()
                schedule.step()

    def _tensor(self, features: NDArray[np.float32]) -> Any:
        import torch

        return torch.from_numpy(np.clip((features - self._middle) / self._width, -6.0, 6.0).astype(np.float32))

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of lesion of each voxel."""
        import torch

        with torch.no_grad():
            found: NDArray[np.float32] = torch.sigmoid(self._net(self._tensor(features))[:, 0]).numpy()
        return found


def judged(patients: Sequence[Patient], lesion: str, folds: int) -> dict[str, list[list[float]]]:
    """Return by residue the Dice of the rule, of fixed probabilities and of the best one, patient by patient."""
    rows: dict[str, list[list[float]]] = {}
    for fold in range(folds):
        learned_from = [one for n, one in enumerate(patients) if n % folds != fold]
        draws = [
            np.random.default_rng(n).permutation(len(one.features))[:VOXELS_PER_PATIENT] for n, one in enumerate(learned_from)
        ]
        features = np.concatenate([one.features[draw] for one, draw in zip(learned_from, draws, strict=True)])
        truth = np.concatenate([one.truth[lesion][draw] for one, draw in zip(learned_from, draws, strict=True)])
        learner = Learner(features, truth)
        for one in patients[fold::folds]:
            if (one.truth[lesion].sum() + one.lost[lesion]) * one.ml < LEAST_ML[lesion]:
                continue
            probability = learner.probability(one.features)
            fixed = [one.dice(lesion, probability > level) for level in PROBABILITIES]
            best = max(one.dice(lesion, probability > level) for level in TRIED)
            rows.setdefault(one.residue, []).append([one.dice(lesion, one.ruled[lesion]), *fixed, best])
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="folder for what was computed of each patient")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS, help="patients; neighbors in this list are of one fold each"
    )
    parser.add_argument("--noise", type=float, default=4.0, help="HU (default 4)")
    parser.add_argument(
        "--folds", type=int, default=4, help="parts of the patients, each judged by what the others teach (default 4)"
    )
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    patients = []
    for n, seed in enumerate(options.seeds):
        patients.append(patient(options.keep, seed, RESIDUES[n % len(RESIDUES)], options.noise))
        print(f"patient {n + 1} of {len(options.seeds)}: {patients[-1].name}", flush=True)
    levels = " ".join(f"p > {level:g}".rjust(9) for level in PROBABILITIES)
    for lesion in LEAST_ML:
        print(f"\n{lesion}: Dice, median / mean\n{'residue':12} patients {'the rules':>13}  {levels}   best for each")
        rows = judged(patients, lesion, options.folds)
        for residue, scores in {**rows, "all": [row for some in rows.values() for row in some]}.items():
            table = np.array(scores)
            told = "  ".join(f"{a:.3f}/{b:.3f}" for a, b in zip(np.median(table, 0), table.mean(0), strict=True))
            print(f"{residue:12} {len(scores):8} {told}", flush=True)


if __name__ == "__main__":
    main()
