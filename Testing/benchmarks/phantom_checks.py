# SPDX-License-Identifier: Apache-2.0
"""Checks of the digital patient itself: mass balance, transit times, solvable floors, noise, curve statistics, speed, pictures.

Usage: python phantom_checks.py [balance] [transit] [floor] [noise] [curves] [speed] [pictures] [--seeds N] [--out FOLDER]
Without names all checks run. Development seeds start at 1.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib.core.constants import flow_factor
from PerfusionSuiteLib.fitting import fit
from PerfusionSuiteLib.phantom import ctp
from PerfusionSuiteLib.phantom.bolus import draw_bolus
from PerfusionSuiteLib.phantom.enhancement import at_times, tissue_curves
from PerfusionSuiteLib.phantom.residues import parse_family
from PerfusionSuiteLib.phantom.scanner import noise_gain

FAMILIES = ("box", "exponential", "gamma:1.5", "gamma:3", "gamma:6")


def balance(seeds: int) -> None:
    """Areas of tissue curves against the blood volume asked for."""
    print("family        MTT s   area error %")
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
                    print(f"{name:12s} {mtt:6.1f} {100 * (area - 1):12.4f}")
    print(f"worst area error over {seeds} seeds: {100 * worst:.4f} %")


def transit(seeds: int) -> None:
    """Mean transit times from the centre of mass of simulated voxel curves, which know nothing of the tables behind them."""
    common: dict[str, Any] = {"recipe": "clean", "noise_hu": 0.0, "motion": "none", "shape": (64, 64, 3), "interval_s": 1.0}
    grid: dict[str, Any] = {"spacing_mm": (3.4, 3.4, 10.0), "frames": 180}
    print("seed  family        voxels  shift - (delay + residence), s: mean, sd   MTT from shift: error %, mean, sd")
    with _finite_bolus():
        for seed in range(1, min(seeds, 3) + 1):
            for name, part in (("box", 0.5), ("exponential", 1.0), ("gamma:3", 4.0 / 6.0)):
                scan, truth = ctp(seed=seed, residue=name, site=("none", "m1", "m2-superior")[seed % 3], **common, **grid)
                curves = (scan.data - scan.data[..., :1])[_one_tissue(truth, 0.99)].astype(float)
                maps = {k: truth.maps[k][_one_tissue(truth, 0.99)].astype(float) for k in ("mtt", "delay")}
                shift = curves @ truth.times_s / curves.sum(axis=1) - truth.fine_aif @ truth.fine_times_s / truth.fine_aif.sum()
                rest = shift - maps["delay"] - part * maps["mtt"]
                error = 100.0 * rest / (part * maps["mtt"])
                print(
                    f"{seed:4d}  {name:12s} {rest.size:7d}  {rest.mean():+.4f} {rest.std():.4f}"
                    f"   {error.mean():+.3f} {error.std():.3f}"
                )


@contextlib.contextmanager
def _finite_bolus() -> Iterator[None]:
    """Let every bolus end within a minute, so that curves have areas and centres of mass."""
    module = importlib.import_module("PerfusionSuiteLib.phantom.ctp")
    drawn = module.draw_bolus

    def ending(seed: int, duration_s: float) -> Any:
        bolus = drawn(seed, duration_s)
        fade = 0.5 + 0.5 * np.cos(np.pi * np.clip((bolus.times_s - 30.0) / 25.0, 0.0, 1.0))
        return dataclasses.replace(bolus, aif=bolus.aif * fade, vof=bolus.vof * fade)

    module.draw_bolus = ending
    try:
        yield
    finally:
        module.draw_bolus = drawn


@contextlib.contextmanager
def _undispersed() -> Iterator[None]:
    """Let arrival be a pure shift, as a box fit supposes."""
    module = importlib.import_module("PerfusionSuiteLib.phantom.ctp")
    drawn = module.draw_bolus
    module.draw_bolus = lambda seed, duration_s: dataclasses.replace(
        drawn(seed, duration_s), early_dispersion=0.0, late_dispersion=0.0
    )
    try:
        yield
    finally:
        module.draw_bolus = drawn


def _one_tissue(truth: Any, share: float) -> Any:
    """Return voxels of one tissue without vessels."""
    parts = np.stack([truth.fractions[name] for name in ("gm", "wm", "deep")])
    vessel = truth.fractions["artery"] + truth.fractions["vein"]
    return truth.masks["pure"] & (vessel < 1e-5) & (parts.max(axis=0) > share) & (parts.sum(axis=0) > 0.999)


def floor(seeds: int) -> None:
    """Still, noiseless box patients with the true AIF: what a box fit leaves, and whose error it is.

    The product's fit is compared with plain least squares in double precision on the same voxels. Rows: all pure voxels; voxels
    of a single tissue; the same without dispersion of the arrival, which is all that a box fit can be asked to solve.
    """
    common: dict[str, Any] = {"seed": 2, "recipe": "clean", "noise_hu": 0.0, "residue": "box", "motion": "none"}
    print("site  interval  voxels                      solver        CBF %: rmse bias   CBV %   MTT %   delay s   Tmax s")
    for site in ("none", "m1"):
        for interval in (1.0, 1.5, 2.0):
            grid: dict[str, Any] = {"shape": (96, 96, 5), "spacing_mm": (2.4, 2.4, 8.0), "frames": int(60 / interval)}
            for dispersed in (True, False):
                with contextlib.nullcontext() if dispersed else _undispersed():
                    scan, truth = ctp(site=site, interval_s=interval, **common, **grid)
                masks = {"pure": truth.masks["pure"], "one tissue": _one_tissue(truth, 0.999)}
                for name, mask in masks.items() if dispersed else [("no dispersion", masks["one tissue"])]:
                    _solve(f"{site:5s} {interval:7.1f}  {name:14s}", scan, truth, mask)


def _solve(title: str, scan: Any, truth: Any, mask: Any) -> None:
    chosen = np.argwhere(mask)
    chosen = tuple(chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), 250)).astype(int)].T)
    filled = sum(truth.fractions[name][chosen] for name in ("gm", "wm", "deep"))
    curves = (scan.data - scan.data[..., :1])[chosen].astype(float) / filled[:, None]
    aif = np.interp(truth.times_s, truth.fine_times_s, truth.fine_aif)
    fits = {
        "nlr": fit(curves, aif, truth.times_s, settings={"mtt_spread": None})[0],
        "least squares": _least_squares(curves, aif, truth.times_s),
    }
    true = {name: truth.maps[name][chosen].astype(float) for name in ("cbf", "cbv", "mtt", "delay", "tmax")}
    for solver, maps in fits.items():
        rest = {name: np.asarray(maps[name], float) - true[name] for name in true}
        relative = {name: 100.0 * rest[name] / true[name] for name in ("cbf", "cbv", "mtt")}
        rms = {name: float(np.sqrt(np.nanmean(v**2))) for name, v in (rest | relative).items()}
        print(
            f"{title} {int(mask.sum()):7d}  {solver:13s} {rms['cbf']:8.2f} {np.nanmean(relative['cbf']):+6.2f} {rms['cbv']:8.2f}"
            f" {rms['mtt']:8.2f} {rms['delay']:8.3f} {rms['tmax']:8.4f}",
            flush=True,
        )


def _least_squares(curves: Any, aif: Any, times_s: Any) -> dict[str, Any]:
    """Return box parameters of each curve by double precision least squares from three starts."""
    from scipy.interpolate import CubicSpline
    from scipy.optimize import least_squares

    whole = CubicSpline(times_s, aif, bc_type="natural").antiderivative()

    def integral(t: Any) -> Any:
        return np.where(t < times_s[0], 0.0, whole(np.maximum(t, times_s[0])) - whole(times_s[0]))

    found = []
    for curve in curves:

        def model(p: Any, curve: Any = curve) -> Any:
            box = integral(times_s - p[0]) - integral(times_s - p[0] - p[1])
            return box * (curve @ box) / max(box @ box, 1e-9) - curve

        tries = [
            least_squares(model, (delay, 5.0), bounds=((-2.0, 0.5), (20.0, 40.0)), xtol=1e-10, ftol=1e-12)
            for delay in (0.5, 2.0, 6.0)
        ]
        delay, mtt = min(tries, key=lambda result: result.cost).x
        box = integral(times_s - delay) - integral(times_s - delay - mtt)
        found.append((curve @ box / (box @ box) * flow_factor(), delay, mtt))
    cbf, delay, mtt = np.array(found).T
    return {"cbf": cbf, "cbv": cbf * mtt / 60.0, "mtt": mtt, "delay": delay, "tmax": delay + 0.5 * mtt}


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
    """Statistics of what a reader would measure above the circle of Willis, in scans as drawn, smoothed as usual.

    Only vessels are made, no images: tissue adds a few HU to an artery, and nothing to the figures of the sinus.
    """
    rows = [_vascular(seed) for seed in range(1, seeds + 1)]
    peaks, delays, areas, cut = (np.array(column) for column in zip(*rows, strict=True))
    print(f"{seeds} seeds from 1, recipe typical")
    _row("arterial curve, peak HU (clinical median 40)", peaks)
    print(f"  below 30 HU: {100 * np.mean(peaks < 30):.0f} % (clinical 33 %)")
    _row("AIF to VOF delay of peaks, s (clinical 3.0-13.6, median 6.4)", delays)
    _row("VOF / AIF area (clinical median 3.5, 5-95 % 1.2-9.9)", areas)
    print(f"venous curve truncated (last three above 30 % of the peak): {100 * np.mean(cut):.0f} % (clinical 34 %)")


def _vascular(seed: int) -> tuple[float, float, float, bool]:
    """Return peak of the arterial curve, delay of the venous one, ratio of areas, truncation."""
    module = importlib.import_module("PerfusionSuiteLib.phantom.ctp")
    atlas = module.load_atlas()
    lesion = module.draw_lesion(seed, atlas, None)
    given: dict[str, Any] = {"interval_s": None, "frames": None}
    thick = module.draw_protocol(seed, "typical", lesion.site, shape=None, spacing_mm=None, **given).spacing_mm[2]
    size: dict[str, Any] = {"shape": (128, 128, max(3, round(30 / thick))), "spacing_mm": (1.8, 1.8, thick)}
    protocol = module.draw_protocol(seed, "typical", lesion.site, **size, **given)
    bolus = module.draw_bolus(seed, float(protocol.times_s[-1]) + 3.0)
    pose, grid = module.draw_pose(seed), module.fine_grid(protocol)
    averaging, t = module.sampling(protocol, grid), protocol.times_s
    tubes = module.make_arteries(seed, pose, atlas, module._late(lesion), module._blocked(lesion))
    share, delay = _seen(module.fill_voxels(seed, 0, tubes, grid), grid, averaging)
    largest = np.argsort(share)[-80:]
    early = largest[np.argsort(delay[largest], kind="stable")[:40]]
    best = early[np.argsort(share[early])[-10:]]
    arterial = (share[best, None] * at_times(bolus.arriving(delay[best]), t)).mean(axis=0)
    share, delay = _seen(module.fill_voxels(seed, 1, module.make_veins(seed, pose, atlas), grid), grid, averaging)
    sinus = np.mean([share[n] * np.interp(t - delay[n], bolus.times_s, bolus.vof) for n in np.argsort(share)[-12:]], axis=0)
    return (
        float(arterial.max()),
        float(t[sinus.argmax()] - t[arterial.argmax()]),
        float(np.trapezoid(sinus, t) / np.trapezoid(arterial, t)),
        bool(sinus[-3:].mean() > 0.3 * sinus.max()),
    )


def _seen(vessels: Any, grid: Any, averaging: Any) -> tuple[Any, Any]:
    """Return volume fraction and mean delay in smoothed voxels of the scan."""
    from scipy import ndimage

    means = []
    for values in (vessels.fraction, vessels.fraction * vessels.delay_s):
        flat = np.zeros(int(np.prod(grid.shape)), np.float32)
        flat[vessels.where] = values
        means.append(ndimage.gaussian_filter(averaging.average(flat.reshape(grid.shape)), (0.0, 1.0, 1.0)).ravel())
    return means[0], means[1] / np.maximum(means[0], 1e-6)


def _row(name: str, values: Any) -> None:
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
    """Contact sheet: one patient a row, slice by slice as a reader would look."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(seeds, 9, figsize=(27, 3.4 * seeds), squeeze=False, facecolor="black")
    for row in range(seeds):
        seed = row + 1
        scan, truth = ctp(seed=seed, shape=(256, 256, 12), spacing_mm=(0.88, 0.88, 9.0), frames=24, interval_s=2.2)
        first = scan.data[..., :3].mean(axis=-1)
        bright = scan.data.max(axis=-1)
        lesion, volumes = truth.masks["hypoperfusion"], truth.volumes_ml
        worst = int(lesion.sum(axis=(0, 1)).argmax()) if lesion.any() else 5
        name = f"seed {seed} {truth.parameters['lesion']['site']} {truth.side}"
        brain, bone, vessels = (0.0, 80.0), (-500.0, 1700.0), (20.0, 170.0)
        panels: list[tuple[Any, str, tuple[float, float], str]] = [
            (first[:, :, 1], name, brain, "gray"),
            (first[:, :, 4], "baseline", brain, "gray"),
            (first[:, :, worst], f"baseline, slice {worst}", brain, "gray"),
            (scan.data[:, :, 9, 0], "one frame", brain, "gray"),
            (first[:, :, 2], "bone", bone, "gray"),
            (np.max(bright[:, :, 2:5], axis=2), "maximum over time", vessels, "gray"),
            (np.max(bright[:, :, 7:9], axis=2), "maximum over time", vessels, "gray"),
            (truth.maps["tmax"][:, :, worst], f"Tmax, {volumes['hypoperfusion']:.0f} mL", (0, 12), "nipy_spectral"),
            (truth.maps["cbf"][:, :, worst], f"CBF, core {volumes['core']:.0f} mL", (0, 90), "nipy_spectral"),
        ]
        for axis, (image, title, window, colors) in zip(axes[row], panels, strict=True):
            axis.imshow(image.T, cmap=colors, vmin=window[0], vmax=window[1], interpolation="bilinear")
            axis.set_title(title, color="white", fontsize=11)
            axis.axis("off")
        for axis in (axes[row, 2], axes[row, 8]):
            for mask, color in ((lesion, "lime"), (truth.masks["core"], "magenta"), (truth.masks["old_infarct"], "cyan")):
                if mask[:, :, worst].any():
                    axis.contour(mask[:, :, worst].T, [0.5], colors=color, linewidths=0.7)
    figure.tight_layout(pad=0.3)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "phantom_sheet.png", dpi=60, facecolor="black")
    print("picture:", out / "phantom_sheet.png")


def main() -> None:
    """Run the checks that were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checks", nargs="*", default=["balance", "transit", "floor", "noise", "curves", "speed", "pictures"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("build/phantom"))
    options = parser.parse_args()
    checks = {"balance": balance, "transit": transit, "floor": floor, "noise": noise, "curves": curves, "speed": speed}
    for check in options.checks:
        print(f"== {check}")
        if check == "pictures":
            pictures(options.seeds, options.out)
        else:
            checks[check](options.seeds)


if __name__ == "__main__":
    main()
