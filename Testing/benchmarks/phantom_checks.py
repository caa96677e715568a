# SPDX-License-Identifier: Apache-2.0
"""Checks of the digital patient itself: mass balance, transit times, noise, curve statistics, speed, pictures.

Usage: python phantom_checks.py [balance] [noise] [curves] [speed] [pictures] [--seeds N] [--out FOLDER]
Without names all checks run. Development seeds start at 1.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.phantom import ctp
from PerfusionSuiteLib.phantom.bolus import draw_bolus
from PerfusionSuiteLib.phantom.enhancement import tissue_curves
from PerfusionSuiteLib.phantom.residues import parse_family
from PerfusionSuiteLib.phantom.scanner import noise_gain

FAMILIES = ("box", "exponential", "gamma:1.5", "gamma:3", "gamma:6")
SMALL: dict[str, Any] = {"shape": (96, 96, 8), "spacing_mm": (2.4, 2.4, 10.0)}


def balance(seeds: int) -> None:
    """Areas and first moments of tissue curves against the blood volume and transit time asked for."""
    print("family        MTT s   area error %   transit time by moments s")
    times_end, worst = 400.0, 0.0
    for seed in range(1, seeds + 1):
        bolus = draw_bolus(seed, times_end)
        # The tail decays over minutes: cut recirculation off so that areas are finite within the axis.
        aif = np.where(bolus.times_s < 60.0, bolus.aif, 0.0)
        object.__setattr__(bolus, "aif", aif)
        for name in FAMILIES:
            mtts = np.array([2.5, 5.0, 12.0])
            curves = tissue_curves(bolus, parse_family(name), np.array([0.0, 1.5, 7.0]), mtts).astype(float)
            for m, mtt in enumerate(mtts):
                for row in curves[:, m]:
                    area = row.sum() / aif.sum() / mtt
                    worst = max(worst, abs(area - 1.0))
                if seed == 1:
                    print(f"{name:12s} {mtt:6.1f} {100 * (area - 1):12.4f}   {_moment(bolus, name, mtt):10.3f}")
    print(f"worst area error over {seeds} seeds: {100 * worst:.4f} %")


def _moment(bolus: Any, name: str, mtt: float) -> float:
    """Return the mean transit time from the area of the residue, sampled at 0.1 s."""
    family = parse_family(name)
    cells = np.diff(family.integral(np.append(np.maximum(bolus.times_s - 0.05, 0.0), bolus.times_s[-1] + 0.05), mtt))
    return float(cells.sum())


def noise(seeds: int) -> None:
    """Standard deviation and spectrum of the noise against what was asked."""
    for asked in (2.0, 4.0, 8.0):
        common: dict[str, Any] = {
            "seed": 1,
            "recipe": "clean",
            "shape": (128, 128, 6),
            "spacing_mm": (1.8, 1.8, 8.0),
            "frames": 6,
            "interval_s": 2.0,
        }
        quiet, truth = ctp(noise_hu=0.0, **common)
        noisy, _ = ctp(noise_hu=asked, **common)
        rest = (noisy.data - quiet.data)[truth.masks["brain"]]
        print(f"asked {asked:.1f} HU, got {rest.std():.2f} HU (rounding adds 0.4 in quadrature)")
    rest = noisy.data - quiet.data
    window = rest[40:88, 40:88].transpose(2, 3, 0, 1).reshape(-1, 48, 48)
    power = (np.abs(np.fft.fft2(window - window.mean(axis=(1, 2), keepdims=True))) ** 2).mean(axis=0)
    radius = np.hypot(np.fft.fftfreq(48, 1.8)[:, None], np.fft.fftfreq(48, 1.8)[None])
    model = noise_gain((48, 48), (1.8, 1.8), truth.parameters["scanner"]["cutoff_per_mm"]) ** 2
    full = np.concatenate([model, model[:, -2:0:-1]], axis=1)
    print("frequency 1/mm   measured   kernel's")
    for low in np.linspace(0.02, 0.26, 7):
        ring = (radius >= low) & (radius < low + 0.04)
        print(f"{low + 0.02:10.2f} {power[ring].mean() / power[radius > 0].mean():12.3f} {full[ring].mean():10.3f}")


def curves(seeds: int) -> None:
    """Statistics of what a reader would measure above the circle of Willis, in a scan smoothed as usual."""
    from scipy import ndimage

    peaks, delays, areas, cut, tissue = [], [], [], [], []
    for seed in range(1, seeds + 1):
        scan, truth = ctp(seed=seed, noise_hu=0.0, motion="none", shape=(128, 128, 5), spacing_mm=(1.8, 1.8, 6.0))
        rise = scan.data - scan.data[..., :2].mean(axis=-1, keepdims=True)
        rise = ndimage.gaussian_filter(rise, (1.0, 1.0, 0.0, 0.0)).reshape(-1, rise.shape[-1])
        t = truth.times_s
        vessels = rise[np.argsort(truth.fractions["artery"].ravel())[-80:]]
        early = vessels[np.argsort(vessels.argmax(axis=1), kind="stable")[:40]]
        arterial = early[np.argsort(early.max(axis=1))[::-1][:10]].mean(axis=0)
        sinus = rise[np.argsort(truth.fractions["vein"].ravel())[-12:]].mean(axis=0)
        peaks.append(float(arterial.max()))
        delays.append(float(t[sinus.argmax()] - t[arterial.argmax()]))
        areas.append(float(np.trapezoid(sinus, t) / np.trapezoid(arterial, t)))
        cut.append(bool(sinus[-3:].mean() > 0.3 * sinus.max()))
        grey = (truth.fractions["gm"] + truth.fractions["deep"] > 0.7) & (truth.maps["cbf"] > 40)
        tissue.append(float(np.median(rise[grey.ravel()].max(axis=-1))))
    _row("arterial curve, peak HU (clinical median 40)", peaks)
    print(f"  below 30 HU: {100 * np.mean(np.array(peaks) < 30):.0f} % (clinical 33 %)")
    _row("AIF to VOF delay of peaks, s (clinical 3.0-13.6, median 6.4)", delays)
    _row("VOF / AIF area (clinical median 3.5, 5-95 % 1.2-9.9)", areas)
    print(f"venous curve truncated (last three above 30 % of the peak): {100 * np.mean(cut):.0f} % (clinical 34 %)")
    _row("grey matter peak, HU (5-15)", tissue)


def _row(name: str, values: list[float]) -> None:
    low, median, high = np.percentile(values, [5, 50, 95])
    print(f"{name}: median {median:.1f}, 5-95 % {low:.1f} to {high:.1f}")


def speed(seeds: int) -> None:
    """Time and memory of 256 x 256 x 32 x 45."""
    for motion in ("none", "drift"):
        start, cpu = time.perf_counter(), time.process_time()
        ctp(seed=3, motion=motion, shape=(256, 256, 32), spacing_mm=(0.9, 0.9, 5.0), frames=45, interval_s=1.0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        wall, busy = time.perf_counter() - start, time.process_time() - cpu
        print(f"256x256x32x45, motion {motion}: {wall:.1f} s wall, {busy:.1f} s CPU, {peak:.2f} GiB")


def pictures(seeds: int, out: Path) -> None:
    """Contact sheet: one patient a row."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(seeds, 8, figsize=(24, 3.6 * seeds), squeeze=False, facecolor="black")
    for row in range(seeds):
        seed = row + 1
        scan, truth = ctp(seed=seed, shape=(256, 256, 12), spacing_mm=(0.88, 0.88, 9.0), frames=24, interval_s=2.2)
        first = scan.data[..., :3].mean(axis=-1)
        mip = scan.data.max(axis=-1)
        low, middle, high = 3, 5, 8
        site = truth.parameters["lesion"]["site"]
        volumes = truth.volumes_ml
        panels: list[tuple[Any, str, tuple[float, float], str]] = [
            (first[:, :, 1], f"seed {seed} {site} {truth.side}", (0, 80), "gray"),
            (first[:, :, low], "baseline", (0, 80), "gray"),
            (first[:, :, middle], "baseline", (0, 80), "gray"),
            (scan.data[:, :, high, 0], "one frame", (0, 80), "gray"),
            (np.max(mip[:, :, low - 1 : low + 2], axis=2), "maximum", (0, 200), "gray"),
            (truth.maps["tmax"][:, :, middle], f"Tmax, {volumes['hypoperfusion']:.0f} mL", (0, 12), "nipy_spectral"),
            (truth.maps["cbf"][:, :, middle], f"CBF, core {volumes['core']:.0f} mL", (0, 90), "nipy_spectral"),
            (
                truth.masks["core"][:, :, middle] * 1.0
                + truth.masks["hypoperfusion"][:, :, middle]
                + 3.0 * truth.masks["fate"][:, :, middle],
                "masks",
                (0, 5),
                "viridis",
            ),
        ]
        for axis, (image, title, window, colors) in zip(axes[row], panels, strict=True):
            axis.imshow(image.T, cmap=colors, vmin=window[0], vmax=window[1], interpolation="nearest")
            axis.set_title(title, color="white", fontsize=11)
            axis.axis("off")
    figure.tight_layout(pad=0.3)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "phantom_sheet.png", dpi=50, facecolor="black")
    print("picture:", out / "phantom_sheet.png")


def main() -> None:
    """Run the checks that were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", default=["balance", "noise", "curves", "speed", "pictures"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("build/phantom"))
    options = parser.parse_args()
    for check in options.checks:
        print(f"== {check}")
        if check == "pictures":
            pictures(options.seeds, options.out)
        else:
            {"balance": balance, "noise": noise, "curves": curves, "speed": speed}[check](options.seeds)


if __name__ == "__main__":
    main()
