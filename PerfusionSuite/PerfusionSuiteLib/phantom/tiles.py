# SPDX-License-Identifier: Apache-2.0
"""A grid of tiles with known flow, volume, transit time and delay, in continuous time.

Laid out like the digital phantom of Kudo et al. (Radiology 267:201, 2013): one section per residue shape and blood volume,
transit time by column, delay by row, and a section with an artery (partial volume) and a vein. Made by us throughout.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import gammaincc

from ..core.constants import flow_factor
from ..core.errors import InvalidInputError
from ..core.geometry import FloatArray
from ..core.progress import ProgressCallback, no_progress
from ..core.series import Acquisition, PerfusionSeries, Source
from .truth import PhantomTruth

MTT_S = (24.0, 12.0, 8.0, 6.0, 4.8, 4.0, 24.0 / 7.0)
DELAY_S = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
SHAPES = ("exponential", "linear", "box")
FINE_S = 0.01
FINE_PER_TRUTH = 10
ARRIVAL_S, GAMMA_SHAPE, GAMMA_SCALE_S = 8.0, 3.0, 1.5
VEIN_DELAY_S = 4.0
VEIN_SPREAD_S = 2.0
ARTERY_FRACTION = 0.5
TISSUE_HU, AIR_HU = 35.0, -1000.0
HYPOPERFUSION_TMAX_S = 6.0


def residue_curve(shape: str, times_s: FloatArray, mtt_s: float) -> FloatArray:
    """Return a residue function that starts at 1 and has the area `mtt_s`.

    Parameters
    ----------
    shape : str
        ``box``, ``exponential``, ``linear`` or ``gamma:K`` (gamma-distributed transit times of shape K).
    times_s : ndarray, shape (F,), s
        Times from 0 on.
    mtt_s : float, s
        Mean transit time.

    Returns
    -------
    ndarray, shape (F,)
        The fraction of the tracer that is still there.

    Raises
    ------
    InvalidInputError
        If there is no such shape.
    """
    if shape == "box":
        return np.where(times_s < mtt_s, 1.0, 0.0)
    if shape == "exponential":
        return np.asarray(np.exp(-times_s / mtt_s))
    if shape == "linear":
        return np.asarray(np.maximum(1.0 - times_s / (2.0 * mtt_s), 0.0))
    kind, _, number = shape.partition(":")
    try:
        order = float(number) if kind == "gamma" else 0.0
    except ValueError:
        order = 0.0
    if order <= 0:
        msg = f"There is no residue '{shape}'. Choose box, exponential, linear, gamma:K with K > 0, or mixed."
        raise InvalidInputError(msg)
    return np.asarray(gammaincc(order, times_s * order / mtt_s))


def tissue_curve(shape: str, aif: FloatArray, mtt_s: float, step_s: float = FINE_S) -> FloatArray:
    """Return the tissue curve of unit flow without delay.

    Parameters
    ----------
    shape : str
        See `residue_curve`.
    aif : ndarray, shape (F,)
        Arterial input on a fine axis.
    mtt_s : float, s
        Mean transit time.
    step_s : float, s
        Step of the fine axis.

    Returns
    -------
    ndarray, shape (F,)
        Convolution of the arterial input with the residue: an exact difference of integrals for a box, the trapezoidal rule
        otherwise.
    """
    count = aif.size
    if shape == "box":
        whole = np.concatenate([[0.0], np.cumsum(0.5 * (aif[1:] + aif[:-1])) * step_s])
        axis = np.arange(count) * step_s
        return np.asarray(whole - np.interp(axis - mtt_s, axis, whole, left=0.0))
    r = residue_curve(shape, np.arange(count) * step_s, mtt_s)
    length = 2 * count
    full = np.fft.irfft(np.fft.rfft(aif, length) * np.fft.rfft(r, length), length)[:count]
    return np.asarray(step_s * (full - 0.5 * (aif * r[0] + aif[0] * r)))


def _gamma_variate(times_s: FloatArray, peak: float) -> FloatArray:
    x = np.maximum(times_s - ARRIVAL_S, 0.0) / (GAMMA_SHAPE * GAMMA_SCALE_S)
    return np.asarray(peak * (x * np.exp(1.0 - x)) ** GAMMA_SHAPE)


def _vein(aif: FloatArray) -> FloatArray:
    """Delay and spread the arterial curve; its area stays the same."""
    axis = np.arange(aif.size) * FINE_S
    late = np.interp(axis - VEIN_DELAY_S, axis, aif, left=0.0)
    return tissue_curve("exponential", late, VEIN_SPREAD_S) / VEIN_SPREAD_S


def _section(shape: str, fine_aif: FloatArray, frame: NDArray[np.int64], unit: float) -> FloatArray:
    """Return the enhancement of each tile at CBV 1, shape (columns, rows, T)."""
    result = np.empty((len(MTT_S), len(DELAY_S), frame.size))
    for column, mtt in enumerate(MTT_S):
        curve = tissue_curve(shape, fine_aif, mtt) * (60.0 / mtt / unit)
        for row, delay in enumerate(DELAY_S):
            late = frame - round(delay / FINE_S)
            result[column, row] = np.where(late >= 0, curve[np.maximum(late, 0)], 0.0)
    return result


def _shapes(residue_name: str | None) -> tuple[str, ...]:
    if residue_name is None or residue_name == "mixed":
        return SHAPES
    residue_curve(residue_name, np.zeros(1), 1.0)
    return (residue_name,)


def _check(tile_px: int, noise_hu: float, frames: int, interval_s: float, cbvs: tuple[float, ...]) -> None:
    limits = {
        "tile_px must be at least 4": tile_px < 4,
        "noise_hu must not be negative": not noise_hu >= 0,
        "frames must be at least 10": frames < 10,
        "interval_s must be positive": not interval_s > 0,
        "cbvs must be positive numbers": not cbvs or not min(cbvs) > 0,
    }
    for sentence, wrong in limits.items():
        if wrong:
            msg = f"{sentence} (tile_px={tile_px}, noise_hu={noise_hu}, frames={frames}, interval_s={interval_s}, cbvs={cbvs})."
            raise InvalidInputError(msg)


def tiles(
    *,
    seed: int = 0,
    noise_hu: float = 0.0,
    residue: str | None = None,
    tile_px: int = 32,
    frames: int = 30,
    interval_s: float = 2.0,
    cbvs: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0),
    aif_peak_hu: float = 400.0,
    noise_kernel_px: float = 0.8,
    progress: ProgressCallback | None = None,
) -> tuple[PerfusionSeries, PhantomTruth]:
    """Make the tile phantom.

    Parameters
    ----------
    seed : int
        Of the noise, the only random part.
    noise_hu : float, HU
        Standard deviation of the noise of a voxel and frame.
    residue : str, optional
        One shape (see `residue_curve`); by default, and for ``mixed``, exponential, linear and box in turn.
    tile_px : int
        Size of a tile; there are 7 x 7 in a section, within a border of half a tile of air.
    frames : int
        Number of frames.
    interval_s : float, s
        Frame interval.
    cbvs : tuple of float, mL/100 g
        Blood volumes, one section each.
    aif_peak_hu : float, HU
        Peak of the arterial input.
    noise_kernel_px : float
        Correlation of the noise within a slice (Gaussian sigma); 0 for white noise.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    series : PerfusionSeries
        CT values: tissue 35 HU plus enhancement; the last section holds artery (half partial volume) and vein.
    truth : PhantomTruth
        Maps per 100 g with the density and hematocrit factor of `core.constants`; ``tmax`` is delay + MTT / 2 for every shape.

    Raises
    ------
    InvalidInputError
        If a setting makes no sense.
    """
    _check(tile_px, noise_hu, frames, interval_s, cbvs)
    shapes, report = _shapes(residue), progress or no_progress
    times = interval_s * np.linspace(0.0, frames - 1.0, frames)
    fine = FINE_S * np.linspace(0.0, np.ceil(times[-1] / FINE_S) + 1, int(np.ceil(times[-1] / FINE_S)) + 2)
    frame = np.rint(times / FINE_S).astype(np.int64)
    fine_aif = _gamma_variate(fine, aif_peak_hu)
    fine_vof = _vein(fine_aif)
    data = _enhancement(shapes, cbvs, tile_px, frame, fine_aif, fine_vof)
    report(0.5, "Tiles")
    _add_noise(data, noise_hu, noise_kernel_px, seed)
    report(1.0, "Tiles")
    affine = np.diag([-1.0, -1.0, 5.0, 1.0])
    affine[:2, 3] = data.shape[0] / 2.0
    settings = {
        "recipe": "tiles", "seed": seed, "noise_hu": noise_hu, "residues": list(shapes), "tile_px": tile_px,
        "cbvs": list(cbvs), "aif_peak_hu": aif_peak_hu, "noise_kernel_px": noise_kernel_px,
    }  # fmt: skip
    source = Source("phantom", f"tiles-{seed}", ("Tile phantom.",))
    series = PerfusionSeries(data, affine, times, "ctp", Acquisition("given"), source)
    maps, fractions, masks = _truth_arrays(series.shape, shapes, cbvs, tile_px)
    coarse = slice(None, None, FINE_PER_TRUTH)
    truth = PhantomTruth(
        maps, fractions, masks, affine, times, fine_aif[frame], fine_vof[frame], fine[coarse], fine_aif[coarse], fine_vof[coarse],
        np.tile(np.eye(4), (frames, 1, 1)), parameters=settings,
    )  # fmt: skip
    return series, truth


def _enhancement(
    shapes: tuple[str, ...],
    cbvs: tuple[float, ...],
    tile_px: int,
    frame: NDArray[np.int64],
    fine_aif: FloatArray,
    fine_vof: FloatArray,
) -> NDArray[np.float32]:
    """Return the images without noise, shape (I, J, K, T), HU."""
    margin = tile_px // 2
    side, sections = 7 * tile_px + 2 * margin, len(shapes) * len(cbvs) + 1
    inner = slice(margin, margin + 7 * tile_px)
    data = np.full((side, side, sections, frame.size), AIR_HU, np.float32)
    data[inner, inner] = TISSUE_HU
    for number, shape in enumerate(shapes):
        curves = _section(shape, fine_aif, frame, flow_factor())
        for offset, cbv in enumerate(cbvs):
            block = np.repeat(np.repeat(cbv * curves, tile_px, axis=0), tile_px, axis=1)
            data[inner, inner, number * len(cbvs) + offset] += block.astype(np.float32)
    artery, vein = _patches(side, tile_px)
    data[(*artery, -1)] += (ARTERY_FRACTION * fine_aif[frame]).astype(np.float32)
    data[(*vein, -1)] += fine_vof[frame].astype(np.float32)
    return data


def _patches(side: int, tile_px: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where artery (a quarter of a tile wide) and vein (half a tile) lie in the last section."""
    middle, artery, vein = side // 2, max(2, tile_px // 4), max(3, tile_px // 2)
    front, back = middle - 2 * tile_px, middle + 2 * tile_px
    return (
        (slice(middle, middle + artery), slice(front, front + artery)),
        (slice(middle, middle + vein), slice(back, back + vein)),
    )


def _add_noise(data: NDArray[np.float32], sd: float, kernel_px: float, seed: int) -> None:
    """Add noise in place, one frame at a time; smoothing within slices is compensated in its standard deviation."""
    if sd == 0:
        return
    rng = np.random.default_rng(seed)
    gain = 1.0
    if kernel_px > 0:
        pulse = np.zeros((65, 65))
        pulse[32, 32] = 1.0
        gain = 1.0 / float(np.sqrt((gaussian_filter(pulse, kernel_px) ** 2).sum()))
    for frame in range(data.shape[3]):
        noise = rng.standard_normal(data.shape[:3], np.float32)
        if kernel_px > 0:
            noise = gaussian_filter(noise, (kernel_px, kernel_px, 0.0), mode="wrap")
        data[..., frame] += np.float32(sd * gain) * noise


def _truth_arrays(
    shape: tuple[int, int, int], shapes: tuple[str, ...], cbvs: tuple[float, ...], tile_px: int
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return maps, fractions and masks."""
    margin = tile_px // 2
    inner = slice(margin, margin + 7 * tile_px)
    column = np.repeat(np.array(MTT_S), tile_px)[:, None, None]
    row = np.repeat(np.array(DELAY_S), tile_px)[None, :, None]
    volume = np.tile(np.array(cbvs), len(shapes))[None, None, :]
    flow = 60.0 * volume / column
    values = {"cbf": flow, "cbv": volume, "mtt": column, "delay": row, "tmax": row + column / 2.0}
    maps = {name: np.full(shape, np.nan, np.float32) for name in values}
    for name, value in values.items():
        maps[name][inner, inner, :-1] = value
    none = np.zeros(shape, bool)
    brain, tissue, vessel = none.copy(), none.copy(), none.copy()
    brain[inner, inner] = True
    tissue[inner, inner, :-1] = True
    artery, vein = _patches(shape[0], tile_px)
    fractions = {name: np.zeros(shape, np.float32) for name in ("gm", "wm", "deep", "csf", "artery", "vein", "bone")}
    fractions["artery"][(*artery, -1)] = ARTERY_FRACTION
    fractions["vein"][(*vein, -1)] = 1.0
    vessel |= (fractions["artery"] + fractions["vein"]) > 0
    fractions["gm"][brain] = 1.0
    fractions["gm"] -= fractions["artery"] + fractions["vein"]
    low = tissue & (np.nan_to_num(maps["tmax"]) > HYPOPERFUSION_TMAX_S)
    masks = {
        "brain": brain, "csf": none, "vessel": vessel, "bone": none.copy(), "hypoperfusion": low,
        "core": none.copy(), "penumbra": low.copy(), "fate": none.copy(), "scored": tissue,
    }  # fmt: skip
    return maps, fractions, masks
