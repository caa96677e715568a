# SPDX-License-Identifier: Apache-2.0
"""How well Tmax could be known by a network that has seen the truth of other brains of the same kind.

    python Testing/benchmarks/learned_fields.py [--train 35] [--anatomies 4] [--steps 2800] [--guided] [--development]

A convolutional network sees what the spatial fit found, how sure it is, what every voxel's own curve asks for beyond that, the
compressed curves, and the map of the rival, on lesion crops of the analytic brain (box residues, 2 and 4 HU); it learns what is
left of the error of Tmax from crops whose truth it is told (seeds 101 and up). It is tested on seeds of the commit, which nothing
has seen. Such a network knows how brains of this generator look, which a fit of a patient does not: where it stays above a goal,
that goal asks for more than the curves and the anatomy of a crop tell. About four seconds for each crop, then half a second for
each step, on one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from figure_seeds import commit_id, figure_seeds
from neural_ceiling import crop
from neural_comparators import COMPARATORS, CSVD_FOR_TMAX
from torch import nn

from PerfusionSuiteLib.core.constants import flow_factor
from PerfusionSuiteLib.evaluation.neural_estimate import estimate, estimator
from PerfusionSuiteLib.evaluation.neural_scan import FieldScan
from PerfusionSuiteLib.fitting.manifold import Manifold
from PerfusionSuiteLib.fitting.response_table import ResponseTable

NOISES_HU, FIRST_SEED, GOAL = (2.0, 4.0), 101, 0.6
CHANNELS, DILATIONS, RATE = 28, (1, 2, 4, 8, 4, 2, 1), 2e-3
RANK, SHOWN_CURVES = 10, 5
TYPICAL_ERROR2 = {2.0: 0.12, 4.0: 0.25}


@dataclass(frozen=True)
class Case:
    """One crop: what the network sees (C, I, J, K), what it should add to Tmax, where that counts, and the rival's error."""

    seen: torch.Tensor
    wanted: torch.Tensor
    counted: torch.Tensor
    rival_error: float
    noise_hu: float


def case_of(seed: int, noise_hu: float, guided: bool) -> Case:
    """Fit a crop and put together what the network sees."""
    scan = crop(seed, noise_hu)
    fit = estimate(estimator("spatial:guided" if guided else "spatial"), scan).maps
    rival = np.nan_to_num(estimate(next(how for how in COMPARATORS if how.name == CSVD_FOR_TMAX), scan).maps["tmax"])
    mask = scan.concentration.mask
    known = {key: np.nan_to_num(values) for key, values in fit.items()}
    few, told, asked = own_wish(scan, known)
    usual = float(np.median(told[mask]))
    told = np.maximum(told, 1e-6)
    channels = [
        known["tmax"] / 6 - 1, np.log(np.maximum(known["cbv"], 0.05)) - 1, np.log(np.maximum(known["mtt"], 1.0)) - 2,
        known["delay"] / 4 - 1, np.log(np.maximum(known["tmax_sd"], 1e-2)), np.log(np.maximum(known["cbf"], 0.5)) - 3,
        np.log(told / usual + 1e-3), np.clip(asked / np.maximum(told, 0.1 * usual), -6, 6) / 2, asked / np.sqrt(told) / 3,
        np.clip(rival, 0, 25) / 6 - 1, (rival - known["tmax"]) / 6, np.full(mask.shape, noise_hu / 3 - 1), mask.astype(float),
        *(few[..., n] / few[mask][:, n].std() for n in range(SHOWN_CURVES)),
    ]  # fmt: skip
    if guided:
        channels.append((scan.guide - np.median(scan.guide[mask])) / 10)
    scored, truth = scan.masks["scored"] & mask, np.nan_to_num(scan.truth["tmax"])
    return Case(
        torch.from_numpy((np.stack(channels) * mask).astype(np.float32)),
        torch.from_numpy((truth - known["tmax"]).astype(np.float32)),
        torch.from_numpy(scored.astype(np.float32)),
        float(np.sqrt(np.mean((rival - truth)[scored] ** 2))),
        noise_hu,
    )


def own_wish(scan: FieldScan, known: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return compressed curves, what each tells about Tmax, and which way it pulls it from the fit."""
    mask = scan.concentration.mask
    manifold = Manifold(ResponseTable(scan.concentration.times_s, scan.aif, "box", 0.0), rank=RANK)
    few = manifold.compress(torch.from_numpy(scan.concentration.data[mask]))[0]
    volume = np.log(np.maximum(known["cbv"][mask], 1e-2) * 60.0 / flow_factor())
    start = np.stack([volume, known["tmax"][mask], np.log(np.maximum(known["mtt"][mask], 1.3))])
    blocks, slope, _ = manifold.explain(few, manifold.bounded(torch.tensor(start, dtype=torch.float32), 1e-5))

    def full(values: torch.Tensor) -> np.ndarray:
        found = np.zeros((*mask.shape, *values.shape[1:]), np.float32)
        found[mask] = values.numpy()
        return found

    return full(few), full(blocks[2]), full(slope[1])


class Step(nn.Module):
    """Adds what a voxel's surroundings in its slice, then the slices beside it, say."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.inside = nn.Conv3d(channels, channels, (3, 3, 1), padding=(dilation, dilation, 0), dilation=(dilation, dilation, 1))
        self.across = nn.Conv3d(channels, channels, (1, 1, 3), padding=(0, 0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the same shape."""
        result: torch.Tensor = x + self.across(nn.functional.gelu(self.inside(nn.functional.gelu(x))))
        return result


def network(seen: int) -> nn.Sequential:
    """Return a network that changes nothing yet."""
    last = nn.Conv3d(CHANNELS, 1, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv3d(seen, CHANNELS, 1), *(Step(CHANNELS, d) for d in DILATIONS), nn.GELU(), last)


def train(net: nn.Module, cases: list[Case], tests: list[Case], steps: int) -> None:
    """Learn from turned and mirrored crops; print how far it is on the way."""
    rng, start = np.random.default_rng(0), time.perf_counter()
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1.0 - n / steps + 5e-3)
    for step in range(1, steps + 1):
        case = cases[int(rng.integers(len(cases)))]
        flips = [axis for axis in (-3, -2, -1) if rng.random() < 0.5]
        seen, wanted, counted = (values.flip(flips) for values in (case.seen, case.wanted, case.counted))
        if rng.random() < 0.5:
            seen, wanted, counted = (values.transpose(-3, -2) for values in (seen, wanted, counted))
        error = ((net(seen[None])[0, 0] - wanted) ** 2 * counted).sum() / counted.sum()
        optimizer.zero_grad()
        (error / TYPICAL_ERROR2[case.noise_hu]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 5) == 0:
            print(f"after {step} steps, {time.perf_counter() - start:.0f} s", flush=True)
            show(net, tests)


def show(net: nn.Module, cases: list[Case]) -> None:
    """Print mean errors of fit, network and rival, and their ratio."""
    for noise in NOISES_HU:
        rows = []
        for case in (case for case in cases if case.noise_hu == noise):
            with torch.no_grad():
                told = net(case.seen[None])[0, 0]
            where = case.counted > 0
            left = [float(error[where].square().mean().sqrt()) for error in (case.wanted, told - case.wanted)]
            rows.append([*left, case.rival_error])
        fit, learned, rival = np.mean(rows, axis=0)
        print(
            f"  {noise:g} HU, Tmax RMSE in s: fit {fit:.3f}, network {learned:.3f}, SVD tuned for Tmax {rival:.3f}; "
            f"fit / SVD {fit / rival:.2f}, network / SVD {learned / rival:.2f} (goal {GOAL:g})",
            flush=True,
        )


def main() -> None:
    """Make crops, train, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=35, help="development crops to learn from, each with both noises")
    parser.add_argument("--anatomies", type=int, default=4, help="crops to test on")
    parser.add_argument("--steps", type=int, default=2800)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--development", action="store_true", help="test on the development seeds that follow")
    options = parser.parse_args()
    torch.manual_seed(0)
    learned = range(FIRST_SEED, FIRST_SEED + options.train)
    following = list(range(learned.stop, learned.stop + options.anatomies))
    tested = following if options.development else figure_seeds(options.anatomies)
    print(
        f"commit {commit_id()}  seeds {' '.join(map(str, tested))}  learned from {learned.start} to {learned.stop - 1}",
        flush=True,
    )
    cases = [case_of(seed, noise, options.guided) for seed in learned for noise in NOISES_HU]
    tests = [case_of(seed, noise, options.guided) for seed in tested for noise in NOISES_HU]
    net = network(cases[0].seen.shape[0])
    print(f"{sum(p.numel() for p in net.parameters())} parameters")
    train(net, cases, tests, options.steps)


if __name__ == "__main__":
    main()
