# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the spatial fit and of neural fields on the analytic brain, against frozen SVD comparators: figures of issue 5.

    python Testing/benchmarks/neural_fields.py [--anatomies 4] [--phantom crop brain] [--methods spatial spatial:guided neural]
                                               [--rivals all svd none] [--development] [--out FOLDER]

Root-mean-square errors are means over anatomies, whose seeds come from the commit (figure_seeds.py); ``--development`` takes 11,
12, 13 ... instead. Box and exponential residues, noise of 2 and 4 HU, 45 frames 1.5 s apart; the crop has 64 x 64 x 8 voxels
around the lesion, the brain 256 x 256 x 8. Comparators: neural_comparators.py; ``--rivals svd`` keeps only the two behind the
similarity filter. With ``--out`` rows, pictures and a report are kept and an interrupted run goes on. Times and memory are
measured by neural_speed.py.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds
from neural_comparators import COMPARATORS, CSVD_FOR_CBF, CSVD_FOR_TMAX, GAUSSIAN_FOR_CBF, GAUSSIAN_FOR_TMAX

from PerfusionSuiteLib.cli.evaluate_neural import make_phantom
from PerfusionSuiteLib.core import ProgressCallback
from PerfusionSuiteLib.evaluation.neural_estimate import MAPS, estimator, known_methods
from PerfusionSuiteLib.evaluation.neural_scan import FieldCondition
from PerfusionSuiteLib.evaluation.neural_scores import ALL, UNIFORM
from PerfusionSuiteLib.evaluation.neural_study import FieldDesign, run_field_study
from PerfusionSuiteLib.evaluation.report.neural_tables import Means
from PerfusionSuiteLib.evaluation.report.neural_writing import write_field_study

NOISE_HU, FAMILIES = (2.0, 4.0), ("box", "exponential")
UNGUIDED, GUIDED = "spatial", "spatial:guided"
FIRST_DEVELOPMENT_SEED = 11
BEHIND_SIMILARITY = tuple(how for how in COMPARATORS if how.name in (CSVD_FOR_CBF, CSVD_FOR_TMAX))
SIZES = SimpleNamespace(tile_px=32, tile_cbv=[4.0], brain_slices=8)


@dataclass(frozen=True)
class Figure:
    """A number with the limits it is to keep."""

    what: str
    value: float
    low: float
    high: float
    form: str = ".2f"

    @property
    def line(self) -> str:
        """What is printed."""
        if np.isnan(self.value):
            return f"{self.what:104s} not measured"
        goal = f"<= {self.high:g}" if self.low == -np.inf else f"{self.low:g} to {self.high:g}"
        verdict = "reached" if self.low <= self.value <= self.high else "missed"
        return f"{self.what:104s} {self.value:{self.form}}  goal {goal}: {verdict}"


def figures(means: Means, phantom: str, methods: list[str]) -> Iterator[Figure]:
    """Yield the rows of issue 5 that accuracy decides."""
    for method, most in ((UNGUIDED, 0.8), (GUIDED, 0.65)):
        if method in methods:
            yield from against_svd(means, phantom, method, most)
    for method in methods:
        yield from biases(means, phantom, method)
    for method in methods:
        yield from intervals(means, phantom, method)


def against_svd(means: Means, phantom: str, method: str, most: float) -> Iterator[Figure]:
    """Compare errors with those of the SVD that was tuned for each map: behind the similarity filter, and behind a Gaussian."""
    for noise in NOISE_HU:
        name = FieldCondition(phantom, "box", noise).name
        tuned = (("cbf", CSVD_FOR_CBF, most), ("tmax", CSVD_FOR_TMAX, 0.6))
        smoothed = (("cbf", GAUSSIAN_FOR_CBF, most), ("tmax", GAUSSIAN_FOR_TMAX, 0.6))
        for (key, rival, limit), region in (*product(tuned, (ALL, UNIFORM)), *product(smoothed, (ALL,))):
            ours, theirs = (means.value(name, how, key, region, "rmse") for how in (method, rival))
            where = "" if region == ALL else f", {region}"
            what = f"{name}{where}: {method} {key} RMSE {ours:.2f} / {rival} {theirs:.2f}"
            yield Figure(what, ours / theirs, -np.inf, limit)


def biases(means: Means, phantom: str, method: str) -> Iterator[Figure]:
    """Give the bias of flow where the method had to find the family of residues by itself."""
    for noise in NOISE_HU:
        name = FieldCondition(phantom, "exponential", noise).name
        bias, rmse, nrmse = (means.value(name, method, "cbf", ALL, measure) for measure in ("me", "rmse", "nrmse"))
        percent = abs(100.0 * bias * nrmse / rmse)
        yield Figure(f"{name}: {method} CBF bias in tissue, % of the mean", percent, -np.inf, 15.0, ".1f")


def intervals(means: Means, phantom: str, method: str) -> Iterator[Figure]:
    """Give how often intervals hold the truth."""
    for family in FAMILIES:
        for noise in NOISE_HU:
            name = FieldCondition(phantom, family, noise).name
            for key in ("cbf", "tmax"):
                share = means.value(name, method, key, ALL, "coverage_68")
                yield Figure(f"{name}: {method} 68 % intervals of {key} hold the truth, %", share, 60.0, 76.0, ".0f")


def table(means: Means, conditions: list[FieldCondition], methods: list[str]) -> Iterator[str]:
    """Yield lines with the errors of every method."""
    yield (
        f"{'condition':28s} {'method':26s}"
        + "".join(f"{key:>8s}" for key in MAPS)
        + "  CBF bias  SSIM  Tmax Dice  core Dice       s"
    )
    for condition in conditions:
        for method in methods:

            def at(subject: str, measure: str, region: str = ALL, name: str = condition.name, how: str = method) -> float:
                return means.value(name, how, subject, region, measure)

            errors = "".join(f"{at(key, 'rmse'):8.2f}" for key in MAPS)
            others = (
                f"{at('cbf', 'me'):10.2f}{at('cbf', 'ssim'):6.2f}{at('hypoperfusion', 'dice'):11.2f}{at('core', 'dice'):11.2f}"
            )
            yield f"{condition.name:28s} {method:26s}{errors}{others}{at('time', 'seconds', ''):8.1f}"


def make(condition: FieldCondition, seed: int, progress: ProgressCallback) -> tuple[Any, Any]:
    """Make a phantom."""
    return make_phantom(condition, seed, SIZES, progress)  # type: ignore[arg-type]


def main() -> int:
    """Measure, print the table, and say which figures were reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomies", type=int, default=4)
    parser.add_argument("--phantom", nargs="+", choices=("crop", "brain"), default=["crop"])
    parser.add_argument("--methods", nargs="+", default=[UNGUIDED, GUIDED, "neural"])
    parser.add_argument("--noise", type=float, nargs="+", default=list(NOISE_HU))
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rivals", choices=("all", "svd", "none"), default="all")
    parser.add_argument("--development", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    first = FIRST_DEVELOPMENT_SEED
    seeds = list(range(first, first + options.anatomies)) if options.development else figure_seeds(options.anatomies)
    methods = [name for name in options.methods if re.split("[:{]", name)[0] in known_methods()]
    print(f"commit {commit_id()}  seeds {' '.join(map(str, seeds))}  device {options.device}", flush=True)
    for missing in sorted(set(options.methods) - set(methods)):
        print(f"There is no method {missing} yet.")
    conditions = [
        FieldCondition(kind, family, noise) for kind in options.phantom for family in options.families for noise in options.noise
    ]
    voxelwise = (estimator("nlr"), estimator("bayes"))
    rivals = {"all": (*COMPARATORS, *voxelwise), "svd": BEHIND_SIMILARITY, "none": ()}[options.rivals]
    design = FieldDesign(conditions, seeds, [*(estimator(name) for name in methods), *rivals], options.device)
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        rows = run_field_study(design, out, make_phantom=make)
        if options.out:
            write_field_study(rows, design, out)
    means = Means(rows)
    print("\n".join(table(means, conditions, [how.name for how in design.estimators])))
    for row in (row for row in rows if row["subject"] == "failed"):
        print(f"{row['condition']}, seed {row['seed']}, {row['method']} failed: {row['measure']}: {row['region']}")
    print()
    for kind in options.phantom:
        for figure in figures(means, kind, methods):
            print(figure.line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
