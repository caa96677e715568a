# SPDX-License-Identifier: Apache-2.0
"""Digital reference object of HemoPIC's physical mode (hemopic.md section 11, check 11): bias, delay error and coverage.

Usage: python hemopic_object.py [--seeds N] [--development]

Tiles of known flow (5 to 80), volume (1 to 6), transit time (3 to 20 s) and delay (0 to 8 s) as DSC signal with Gaussian noise,
at several signal-to-noise ratios, frame intervals and with uneven frames; the artery is given. The curves are made by a numerical
convolution on a 0.02 s axis that shares no code with the fit. Curves and artery are exact here, so `systematic` is off.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import numpy as np
from figure_seeds import commit_id, figure_seeds
from numpy.typing import NDArray

from PerfusionSuiteLib import hemopic
from PerfusionSuiteLib.core.constants import flow_factor

TILE, ECHO_S, CONTRAST = 8, 0.03, 100.0
CBV, MTT, DELAY = (1.0, 2.0, 4.0, 6.0), (3.0, 5.0, 8.0, 12.0, 20.0), (0.0, 2.0, 5.0, 8.0)
STEP_S = 0.02
SHAPES = {"exponential": 1.0, "gamma:2": 2.0}

Array = NDArray[np.float64]


def artery(times: Array) -> Array:
    """First pass, recirculation and tail, in mM; starts at 14 s."""
    t = np.maximum(times - 14.0, 0.0)
    first = (t / 4.5) ** 3 * np.exp(3.0 * (1.0 - t / 4.5))
    later = np.maximum(times - 27.0, 0.0)
    return 5.0 * (first + 0.22 * (later / 8.0) ** 2 * np.exp(2.0 * (1.0 - later / 8.0)) + 0.1 * (1.0 - np.exp(-t / 15.0)))


def tissue(times: Array, cbv: float, mtt: float, delay: float, shape: float) -> Array:
    """Concentration in tissue, mM: artery by residue on a fine axis."""
    fine = np.arange(0.0, times[-1] + 1.0, STEP_S)
    middle = fine + 0.5 * STEP_S
    scale = mtt / shape
    rho = np.exp(-middle / scale) * sum((middle / scale) ** k / (1.0 if k < 2 else 2.0) for k in range(int(shape)))
    curve = np.convolve(artery(fine), rho)[: fine.size] * STEP_S
    flow_per_s = 60.0 * cbv / mtt / flow_factor()
    return np.interp(times - delay, middle, flow_per_s * curve, left=0.0)


def frame_times(interval_s: float, uneven: bool, rng: np.random.Generator) -> Array:
    """Frames over 90 s; uneven ones are denser in the first pass and jitter."""
    times = np.arange(0.0, 90.0, interval_s)
    if uneven:
        times = np.sort(np.concatenate([times[(times < 14) | (times > 50)], np.arange(14.0, 50.0, 0.7 * interval_s)]))
        times = times + rng.uniform(-0.15, 0.15, times.size) * interval_s
    return np.asarray(times - times[0])


def make_object(snr: float, interval_s: float, family: str, seed: int, uneven: bool) -> tuple[Array, Array, dict[str, Array]]:
    """Return curves (I, J, 1, T) as delta R2*, frame times and true maps."""
    rng = np.random.default_rng(seed)
    times = frame_times(interval_s, uneven, rng)
    tiles = [t for t in itertools.product(CBV, MTT, DELAY) if 5.0 <= 60.0 * t[0] / t[1] <= 80.0]
    columns = 10
    rows = -(-len(tiles) // columns)
    data = np.zeros((rows * TILE, columns * TILE, 1, times.size))
    truth = {key: np.full(data.shape[:3], np.nan) for key in ("cbf", "cbv", "mtt", "delay")}
    for n, (cbv, mtt, delay) in enumerate(tiles):
        here = np.s_[n // columns * TILE : (n // columns + 1) * TILE, n % columns * TILE : (n % columns + 1) * TILE]
        curve = tissue(times, cbv, mtt, delay, SHAPES[family])
        data[here] = curve * CONTRAST
        for key, value in (("cbf", 60.0 * cbv / mtt), ("cbv", cbv), ("mtt", mtt), ("delay", delay)):
            truth[key][here] = value
    signal = np.exp(-ECHO_S * data) + rng.normal(scale=1.0 / snr, size=data.shape)
    before = times < 13.0
    baseline = signal[..., before].mean(axis=-1, keepdims=True)
    measured = -np.log(np.maximum(signal, 0.01) / baseline) / ECHO_S
    return measured, times, truth


def measure(snr: float, interval_s: float, family: str, seed: int, *, uneven: bool) -> dict[str, float]:
    """Fit one object; bias in percent, delay error in s, coverage in percent."""
    data, times, truth = make_object(snr, interval_s, family, seed, uneven)
    mask = np.isfinite(truth["cbf"])
    maps, _ = hemopic.fit(
        data,
        times,
        mask=mask,
        affine=np.diag([3.0, 3.0, 5.0, 1.0]),
        aif=CONTRAST * artery(times),
        settings={"systematic": False},
    )
    good = mask & np.isfinite(maps["cbf"])
    found: dict[str, Any] = {"valid": 100.0 * good.sum() / mask.sum()}
    for key in ("cbf", "cbv", "mtt"):
        found[key] = 100.0 * float(np.mean(maps[key][good] / truth[key][good] - 1.0))
        tiles = [
            np.mean(maps[key][here]) / truth[key][here][0] - 1.0
            for c, m, d in itertools.product(CBV, MTT, DELAY)
            if (here := good & (truth["cbv"] == c) & (truth["mtt"] == m) & (truth["delay"] == d)).any()
        ]
        found[f"{key}_tile"] = 100.0 * float(np.median(np.abs(tiles)))
    found["delay_rmse"] = float(np.sqrt(np.mean((maps["delay"][good] - truth["delay"][good]) ** 2)))
    truth["tmax"] = truth["delay"] + 0.5 * truth["mtt"]
    for key in ("cbf", "cbv", "mtt", "delay", "tmax"):
        off = np.abs(maps[key][good] - truth[key][good])
        found[f"in_{key}"] = 100.0 * float(np.mean(off < maps[f"{key}_sd"][good]))
    return found


CASES = (
    (20.0, 1.5, False), (50.0, 1.0, False), (50.0, 1.5, False), (50.0, 2.5, False), (50.0, 1.5, True), (100.0, 1.5, False),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="objects per row")
    parser.add_argument("--development", action="store_true", help="seeds from 1 on instead of those of the commit")
    options = parser.parse_args()
    seeds = list(range(1, options.seeds + 1)) if options.development else figure_seeds(options.seeds)
    print(f"commit {commit_id()}, seeds {seeds}")
    print("wanted at SNR 50: bias of CBF 10, CBV 5, MTT 15 %, delay RMSE 0.5 s, coverage 60 to 76 %")
    print("columns: mean bias in % (median |bias| of tiles); coverage of the 68 % intervals in %")
    print("residue      SNR  interval       valid   CBF           CBV           MTT            delay    CBF CBV MTT delay Tmax")
    for family in SHAPES:
        for snr, interval, uneven in CASES:
            rows = [measure(snr, interval, family, seed, uneven=uneven) for seed in seeds]
            m = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            biases = "  ".join(f"{m[k]:+5.1f} ({m[k + '_tile']:4.1f})" for k in ("cbf", "cbv", "mtt"))
            inside = "  ".join(f"{m['in_' + k]:3.0f}" for k in ("cbf", "cbv", "mtt", "delay", "tmax"))
            kind = "uneven" if uneven else "even  "
            head = f"{family:11s} {snr:4.0f}  {interval:3.1f} s {kind}  {m['valid']:5.1f}"
            print(f"{head}   {biases}   {m['delay_rmse']:.2f} s   {inside}", flush=True)


if __name__ == "__main__":
    main()
