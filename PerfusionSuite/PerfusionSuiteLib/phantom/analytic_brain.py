# SPDX-License-Identifier: Apache-2.0
"""An analytic brain with a right-sided stroke, without motion or artifacts: where fits of the whole volume are compared.

Unlike the digital patients it has no vessels, dispersion or rounding, so that differences between estimators show alone.
Every voxel is a mixture of 2 x 2 x 2 points, each with its own flow, transit time and delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ..core.constants import flow_factor
from ..core.errors import InvalidInputError
from ..core.geometry import BoolArray, FloatArray
from ..core.progress import ProgressCallback, no_progress
from ..core.series import Acquisition, PerfusionSeries, Source
from .analytic_head import BONE, DEEP, FLUID, GRAY, SCALP, WHITE, Head, Values, Waves, make_head
from .tiles import FINE_S, residue_curve, tissue_curve
from .truth import PhantomTruth

WHOLE, CROP = (256, 256, 32), (64, 64, 8)
SPACING_MM = (0.91, 0.91, 5.0)
SUB = (2, 2, 2)
FAMILIES = ("box", "exponential", "gamma:2", "linear")
STATIC_HU = {GRAY: 37.0, WHITE: 28.0, DEEP: 38.0, FLUID: 5.0, BONE: 1000.0, SCALP: 45.0}
AIR_HU, SWOLLEN_HU = -1000.0, 2.5
FLOW = {GRAY: 62.0, WHITE: 26.0, DEEP: 55.0}
NORMAL_MTT_S = {GRAY: 4.4, WHITE: 5.4, DEEP: 4.6}
NORMAL_DELAY_S = {GRAY: 0.7, WHITE: 1.2, DEEP: 0.5}
PENUMBRA_FLOW, CORE_FLOW = 0.5, 0.19
MTT_S, DELAY_S, STEP_S = (4.0, 12.0), (0.0, 8.0), 0.05
NOISE_PX = 0.6
HYPOPERFUSION_TMAX_S = 6.0
LATE_CORE_S, LATE_RIM_S = 6.5, 2.5


@dataclass(frozen=True, slots=True)
class _Patient:
    """Everything that is drawn; functions of space."""

    head: Head
    flow: Waves
    time: Waves
    edge: Waves
    ragged: Waves
    center_mm: FloatArray
    radii_mm: FloatArray
    core_center_mm: FloatArray
    core_share: float

    def lesion(self, points: NDArray[np.float32], kinds: NDArray[np.uint8]) -> tuple[Values, Values]:
        """Depth below the rim of the lesion and of its core (0 at the rim, about 1 in the middle, negative outside)."""
        uneven = 0.14 * self.edge(points) + 0.06 * self.ragged(points)
        outer = 1.0 - np.linalg.norm((points - self.center_mm) / self.radii_mm, axis=1) + uneven
        inner = self.core_share - np.linalg.norm((points - self.core_center_mm) / self.radii_mm, axis=1) + 0.8 * uneven
        ours = (points[:, 0] > 6.0) & np.isin(kinds, (GRAY, WHITE, DEEP))
        inner = np.minimum(inner, outer - 0.12)
        return np.where(ours, outer, -1.0).astype(np.float32), np.where(ours, inner, -1.0).astype(np.float32)


def _draw(rng: np.random.Generator) -> _Patient:
    head = make_head(rng)
    center = np.array([44.0, 2.0, 12.0]) + rng.uniform(-4.0, 4.0, 3)
    radii = np.array([32.0, 38.0, 32.0]) * rng.uniform(0.85, 1.1, 3)
    core_center = center + rng.uniform(-1.0, 1.0, 3) * np.array([6.0, 8.0, 6.0]) - np.array([4.0, 0.0, 0.0])
    return _Patient(
        head, Waves(rng, 20.0), Waves(rng, 40.0), Waves(rng, 38.0), Waves(rng, 13.0), center, radii, core_center,
        float(rng.uniform(0.42, 0.55)),
    )  # fmt: skip


def brain(
    *,
    seed: int,
    noise_hu: float = 2.0,
    residue: str = "box",
    crop: bool = False,
    frames: int = 45,
    interval_s: float = 1.5,
    shape: tuple[int, int, int] | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[PerfusionSeries, PhantomTruth]:
    """Make the analytic brain or its crop around the lesion.

    Parameters
    ----------
    seed : int
        One seed, one anatomy, lesion and noise.
    noise_hu : float, HU
        Standard deviation of the noise of a voxel and frame, correlated over 0.6 pixels within a slice.
    residue : str
        ``box``, ``exponential``, ``gamma:K`` or ``linear``, for all tissue.
    crop : bool
        Only 64 x 64 x 8 voxels around the lesion.
    frames : int
        Number of frames.
    interval_s : float, s
        Frame interval.
    shape : tuple of int, (I, J, K), optional
        Size of the grid instead of 256 x 256 x 32 or 64 x 64 x 8; voxels keep their size.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    series : PerfusionSeries
        CT values at 0.91 x 0.91 x 5 mm.
    truth : PhantomTruth
        Maps of the tissue of each voxel (delay weighted by flow); ``cbf_healthy`` is the flow without the lesion. Masks
        ``core`` and ``penumbra`` as drawn, ``hypoperfusion`` where delay + MTT / 2 exceeds 6 s, ``uniform`` without voxels that
        a rim of lesion or core runs through (they hold two tissues with very different curves).

    Raises
    ------
    InvalidInputError
        If a setting makes no sense.
    """
    _check(noise_hu, residue, frames, interval_s, shape)
    report = progress or no_progress
    rng = np.random.default_rng([seed, 5])
    patient = _draw(rng)
    size = shape or (CROP if crop else WHOLE)
    affine = _affine(size, patient.center_mm if crop else np.zeros(3))
    times = interval_s * np.linspace(0.0, frames - 1.0, frames)
    fine, fine_aif, fine_vof, bolus = _bolus(rng, float(times[-1]))
    table = _curves(residue, fine_aif, np.rint(times / FINE_S).astype(np.int64))
    data = np.empty((*size, frames), np.float32)
    fields: dict[str, NDArray[Any]] = {}
    for k in range(size[2]):
        slab, content = _slice(patient, affine, size, k, table)
        data[:, :, k] = slab
        for name, values in content.items():
            fields.setdefault(name, np.empty(size, values.dtype))[:, :, k] = values
        report(0.7 * (k + 1) / size[2], "Brain")
    _add_noise(data, noise_hu, rng)
    report(1.0, "Brain")
    name = "crop" if crop else "brain"
    settings = {
        "recipe": name, "seed": seed, "noise_hu": noise_hu, "residue": dict.fromkeys(("gm", "wm", "deep"), residue),
        "noise_kernel_px": NOISE_PX, "bolus": bolus, "lesion": {"site": "right middle cerebral artery"},
    }  # fmt: skip
    source = Source("phantom", f"{name}-{seed}", ("Analytic brain.",))
    series = PerfusionSeries(data, affine, times, "ctp", Acquisition("given"), source)
    return series, _truth(fields, affine, times, (fine, fine_aif, fine_vof), settings)


def _truth(
    fields: dict[str, NDArray[Any]],
    affine: FloatArray,
    times: FloatArray,
    bolus: tuple[FloatArray, FloatArray, FloatArray],
    settings: dict[str, Any],
) -> PhantomTruth:
    maps, fractions, masks = _truth_arrays(fields)
    frame, coarse = np.rint(times / FINE_S).astype(np.int64), slice(None, None, 10)
    voxel_ml = float(abs(np.linalg.det(affine[:3, :3]))) / 1000.0
    fine, aif, vof = bolus
    return PhantomTruth(
        maps, fractions, masks, affine, times, aif[frame], vof[frame], fine[coarse], aif[coarse], vof[coarse],
        np.tile(np.eye(4), (times.size, 1, 1)), "right",
        volumes_ml={key: float(masks[key].sum()) * voxel_ml for key in ("hypoperfusion", "core", "penumbra")},
        parameters=settings,
    )  # fmt: skip


def _check(noise_hu: float, residue: str, frames: int, interval_s: float, shape: tuple[int, ...] | None) -> None:
    limits = {
        "noise_hu must not be negative": not noise_hu >= 0,
        "frames must be at least 10": frames < 10,
        "interval_s must be positive": not interval_s > 0,
        "shape must be three positive numbers": shape is not None and (len(shape) != 3 or min(shape) < 1),
    }
    for sentence, wrong in limits.items():
        if wrong:
            msg = f"{sentence} (noise_hu={noise_hu}, frames={frames}, interval_s={interval_s}, shape={shape})."
            raise InvalidInputError(msg)
    if residue == "mixed":
        msg = "All tissue of the analytic brain has one residue. Choose box, exponential, linear or gamma:K."
        raise InvalidInputError(msg)
    residue_curve(residue, np.zeros(1), 1.0)


def _affine(size: tuple[int, int, int], center_mm: FloatArray) -> FloatArray:
    """Voxel to RAS: first axis to the left, second to the back, third upwards, as scanners write them."""
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    affine[:3, 3] = center_mm - affine[:3, :3] @ ((np.array(size) - 1.0) / 2.0)
    return affine


def _bolus(rng: np.random.Generator, last_s: float) -> tuple[FloatArray, FloatArray, FloatArray, dict[str, float]]:
    """Fine axis, artery, vein and what was drawn: a gamma variate, recirculating with a fifth of it."""
    count = int(np.ceil(last_s / FINE_S)) + 2
    fine = FINE_S * np.linspace(0.0, count - 1.0, count)
    drawn = {
        "peak_hu": float(rng.uniform(260.0, 340.0)), "arrival_s": float(rng.uniform(5.0, 9.0)),
        "shape": float(rng.uniform(2.6, 3.6)), "scale_s": float(rng.uniform(1.2, 1.7)),
        "again_s": float(rng.uniform(13.0, 17.0)), "again_share": float(rng.uniform(0.15, 0.25)),
    }  # fmt: skip
    x = np.maximum(fine - drawn["arrival_s"], 0.0) / (drawn["shape"] * drawn["scale_s"])
    first = (x * np.exp(1.0 - x)) ** drawn["shape"]
    again = tissue_curve("gamma:3", first, drawn["again_s"]) * (drawn["again_share"] / 2.0)
    aif = drawn["peak_hu"] * (first + again)
    vof = tissue_curve("gamma:4", aif, 6.0) / 6.0
    return fine, aif, vof, drawn


def _axis(limits: tuple[float, float]) -> FloatArray:
    return np.linspace(limits[0], limits[1], round((limits[1] - limits[0]) / STEP_S) + 1)


def _curves(residue: str, fine_aif: FloatArray, frame: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return curves for a flow of 1 mL/100 g/min by transit time and delay, shape (M, D, T)."""
    transit, delays = _axis(MTT_S), _axis(DELAY_S)
    table = np.empty((transit.size, delays.size, frame.size), np.float32)
    for row, mtt in enumerate(transit):
        curve = tissue_curve(residue, fine_aif, float(mtt)) / flow_factor()
        for column, delay in enumerate(delays):
            late = frame - round(delay / FINE_S)
            table[row, column] = np.where(late >= 0, curve[np.maximum(late, 0)], 0.0)
    return table


def _slice(
    patient: _Patient, affine: FloatArray, size: tuple[int, int, int], k: int, table: NDArray[np.float32]
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Return the noise-free images of a slice, shape (I, J, T), and what is true in it."""
    points = _points(affine, size, k)
    kinds = patient.head.tissue(points)
    content = _perfusion(patient, points, kinds)
    parts = int(np.prod(SUB))

    def mean(values: NDArray[Any]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = values.reshape(*size[:2], parts).mean(axis=2, dtype=np.float32)
        return result

    data = np.zeros((*size[:2], table.shape[2]), np.float32)
    row, column = (
        np.rint((content[key] - low) / STEP_S).astype(np.int32) for key, low in (("mtt", MTT_S[0]), ("delay", DELAY_S[0]))
    )
    flow, row, column = (values.reshape(*size[:2], parts) for values in (content["cbf"], row, column))
    for part in range(parts):
        data += table[row[..., part], column[..., part]] * (flow[..., part, None] / parts)
    data += mean(content["static"])[..., None]
    share = mean(content["tissue"])
    with np.errstate(invalid="ignore", divide="ignore"):
        cbf, cbv = mean(content["cbf"]) / share, mean(content["cbf"] * content["mtt"]) / share / np.float32(60.0)
        truth = {
            "cbf": cbf, "cbv": cbv, "mtt": 60.0 * cbv / cbf, "delay": mean(content["cbf"] * content["delay"]) / share / cbf,
            "cbf_healthy": mean(content["healthy"]) / share, "tissue": share, "core": mean(content["core"]),
            "penumbra": mean(content["penumbra"]),
        }  # fmt: skip
    shares = {
        name: mean(kinds == kind) for name, kind in (("gm", GRAY), ("wm", WHITE), ("deep", DEEP), ("csf", FLUID), ("bone", BONE))
    }
    return data, truth | shares


def _points(affine: FloatArray, size: tuple[int, int, int], k: int) -> NDArray[np.float32]:
    """Return points of a slice in RAS mm, those of one voxel next to each other; shape (I J parts, 3)."""
    inside = [(np.arange(n) + 0.5) / n - 0.5 for n in SUB]
    parts = np.stack(np.meshgrid(*inside, indexing="ij"), axis=-1).reshape(-1, 3)
    corners = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1]), [k], indexing="ij"), axis=-1).reshape(-1, 1, 3)
    index = (corners + parts).reshape(-1, 3)
    return np.asarray(index @ affine[:3, :3].T + affine[:3, 3], np.float32)


def _perfusion(patient: _Patient, points: NDArray[np.float32], kinds: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return flow, transit time, delay and static CT value of each point."""

    def by_kind(values: dict[int, float], empty: float = 0.0) -> Values:
        table = np.full(8, empty, np.float32)
        table[list(values)] = list(values.values())
        return table[kinds]

    outer, inner = patient.lesion(points, kinds)
    core, late = inner > 0, np.clip(outer / 0.5, 0.0, 1.0)
    lesion = outer > 0
    vary, slow = patient.flow(points), patient.time(points)
    healthy = by_kind(FLOW) * np.clip(1.0 + 0.12 * vary, 0.6, 1.4)
    flow = healthy * np.where(core, CORE_FLOW, np.where(lesion, PENUMBRA_FLOW, 1.0))
    transit = by_kind(NORMAL_MTT_S, MTT_S[0]) + 0.35 * slow + lesion * (3.2 + 2.2 * late) + core * 1.8
    delay = by_kind(NORMAL_DELAY_S) + 0.3 * vary * 0.5 + 0.3 * slow + lesion * (LATE_RIM_S + 3.0 * late) + core * 1.2
    static = by_kind(STATIC_HU, AIR_HU) - SWOLLEN_HU * core * (kinds != WHITE)
    return {
        "cbf": flow.astype(np.float32), "healthy": healthy.astype(np.float32), "static": static.astype(np.float32),
        "mtt": _snapped(transit, MTT_S), "delay": _snapped(delay, DELAY_S), "tissue": flow > 0, "core": core,
        "penumbra": lesion & ~core,
    }  # fmt: skip


def _snapped(values: NDArray[Any], limits: tuple[float, float]) -> Values:
    """Keep to the steps that curves are tabulated at, so that the truth is exact."""
    clipped = np.clip(values, *limits)
    result: Values = (limits[0] + STEP_S * np.rint((clipped - limits[0]) / STEP_S)).astype(np.float32)
    return result


def _add_noise(data: NDArray[np.float32], sd: float, rng: np.random.Generator) -> None:
    """Add noise in place, frame by frame; what smoothing takes from its standard deviation is given back."""
    if sd == 0:
        return
    pulse = np.zeros((33, 33))
    pulse[16, 16] = 1.0
    gain = np.float32(sd / np.sqrt((gaussian_filter(pulse, NOISE_PX) ** 2).sum()))
    for frame in range(data.shape[3]):
        noise = rng.standard_normal(data.shape[:3], np.float32)
        data[..., frame] += gain * gaussian_filter(noise, (NOISE_PX, NOISE_PX, 0.0), mode="wrap")


def _truth_arrays(
    fields: dict[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]], dict[str, BoolArray]]:
    """Return maps, fractions and masks."""
    held = fields["tissue"] > 0
    maps = {key: np.where(held, fields[key], np.nan).astype(np.float32) for key in ("cbf", "cbv", "mtt", "delay", "cbf_healthy")}
    maps["tmax"] = maps["delay"] + np.float32(0.5) * maps["mtt"]
    fractions = {key: fields[key] for key in ("gm", "wm", "deep", "csf", "bone")}
    none = np.zeros(held.shape, bool)
    fractions |= {"artery": none.astype(np.float32), "vein": none.astype(np.float32)}
    brain_mask = (fields["tissue"] + np.where(fields["bone"] > 0, 0.0, fields["csf"])) > 0.5
    tissue = brain_mask & (fields["tissue"] > 0.5)
    scored = tissue & (fields["csf"] <= 0.2) & (fields["bone"] <= 0.2)
    mixed = np.zeros(held.shape, bool)  # a rim of the lesion or of its core runs through the voxel
    for state in ("core", "penumbra"):
        mixed |= (fields[state] > 0.0) & (fields[state] < fields["tissue"] - 1e-6)
    masks = {
        "brain": brain_mask, "csf": fields["csf"] > 0.5, "vessel": none, "bone": fields["bone"] > 0.5,
        "hypoperfusion": tissue & (np.nan_to_num(maps["tmax"]) > HYPOPERFUSION_TMAX_S), "core": fields["core"] > 0.5,
        "penumbra": fields["penumbra"] > 0.5, "fate": fields["core"] > 0.5, "old_infarct": none,
        "scored": scored, "uniform": scored & ~mixed,
    }  # fmt: skip
    return maps, fractions, masks
