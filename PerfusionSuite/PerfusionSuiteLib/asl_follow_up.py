# SPDX-License-Identifier: Apache-2.0
"""A later ASL scan of the same head: what became of its flow, its arrival time and its low flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .asl_pipeline import run_asl
from .asl_settings import AslInputs, AslSettings
from .core import (
    AslSeries,
    AslStudy,
    InvalidInputError,
    Metrics,
    PerfusionMaps,
    ProgressCallback,
    Provenance,
    QualityFinding,
    part_of,
)
from .core.files import plain
from .core.geometry import BoolArray, FloatArray, voxel_volume_ml
from .lesion import asl_regions
from .lesion.clusters import without_small_clusters
from .lesion.follow_up import rigid_motion

_TISSUE_LEVEL = 35.0
"""Where registration, which is made for CT, expects tissue."""
_POOR_MATCH, _SMALL_OVERLAP = 0.7, 0.6


def with_follow_up(
    first: AslStudy,
    later: AslSeries,
    settings: AslSettings | None = None,
    *,
    progress: ProgressCallback | None = None,
) -> AslStudy:
    """Analyze a later scan like the first and put both beside each other.

    The later scan is rigidly registered by M0 (or its control images); fractions of tissue go along.

    Parameters
    ----------
    first : AslStudy
        The first scan, analyzed.
    later : AslSeries
        The later scan of the same head.
    settings : AslSettings, optional
        Of the first scan.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    AslStudy
        The first one with the map ``cbf_later`` on its grid, ``follow_up`` in its metrics, regions ``resolved``, ``persistent``
        and ``new`` of low flow, and findings.

    Raises
    ------
    InvalidInputError
        If flow of one scan is relative, so that the two cannot be compared, or the later scan cannot be used.
    """
    report = part_of(progress, 0.0, 1.0)
    report(0.0, "Registering the follow-up")
    motion, likeness = rigid_motion(
        _image(first.difference.m0, first.series), first.series.affine, _image(None, later), later.affine
    )
    to_later = np.linalg.inv(later.affine) @ motion @ first.series.affine
    tissue = {name: _resampled(part, np.linalg.inv(to_later), later.shape) for name, part in first.tissue.items()}
    inputs = AslInputs(gm=tissue.get("gm"), wm=tissue.get("wm"))
    second = run_asl(later, settings, inputs=inputs, progress=part_of(progress, 0.1, 0.95))
    if "cbf" not in first.maps or "cbf" not in second.maps:
        msg = "Flow of the first or of the later scan is relative, since it has no M0, so the two cannot be compared. Give an M0."
        raise InvalidInputError(msg)
    flow = _resampled(second.maps["cbf"].values, to_later, first.maps.shape, keep_nan=True)
    covered = _resampled(second.difference.mask.astype(np.float32), to_later, first.maps.shape) > 0.5
    numbers, regions = _low_flow(first, second, to_later, first.difference.mask & covered)
    numbers |= {
        "regions": _by_region(first, second, flow, covered),
        **_place(motion, first, likeness),
        "common_brain_percent": round(100.0 * _share(covered, first.difference.mask), 2),
    }
    report(1.0, "Done")
    return _joined(first, second, flow, numbers, regions, _findings(likeness, _share(covered, first.difference.mask), second))


def _image(m0: NDArray[np.float32] | None, series: AslSeries) -> NDArray[np.float32]:
    """Image of the head on a scale where tissue lies as in CT."""
    image = m0 if m0 is not None else series.m0
    for kind in ("m0scan", "control", "deltam"):
        if image is None and series.of_type(kind).any():
            image = series.data[..., series.of_type(kind)].mean(axis=3, dtype=np.float32)
    values = np.nan_to_num(np.asarray(image, np.float32))
    bright = values[values > 0.3 * float(np.percentile(values, 98.0))]
    level = float(np.median(bright)) if bright.size else 1.0
    return np.asarray(values * np.float32(_TISSUE_LEVEL / max(level, 1e-6)), np.float32)


def _resampled(
    values: NDArray[Any], to_source: FloatArray, shape: tuple[int, ...], *, keep_nan: bool = False
) -> NDArray[np.float32]:
    """A map at the voxels of another grid; NaN there where it is NaN here, if that is asked for."""
    known = np.isfinite(values)
    amount, share = (
        ndimage.affine_transform(part.astype(np.float32), to_source[:3, :3], to_source[:3, 3], shape, order=1, mode="constant")
        for part in (np.where(known, values, 0.0), known)
    )
    if not keep_nan:
        return np.asarray(amount, np.float32)
    return np.where(share > 0.5, amount / np.maximum(share, 0.5), np.nan).astype(np.float32)


def _share(part: BoolArray, whole: BoolArray) -> float:
    return float((part & whole).sum()) / max(int(whole.sum()), 1)


def _by_region(first: AslStudy, second: AslStudy, flow: NDArray[np.float32], covered: BoolArray) -> dict[str, dict[str, Any]]:
    """Flow of each region in both maps, over the voxels that both have."""
    before = first.maps["cbf"].values
    both = covered & np.isfinite(before) & np.isfinite(flow)
    regions, _ = asl_regions(first.difference.mask, first.maps.affine, first.lesions, first.tissue)
    found = {}
    for name, region in regions.items():
        inside = region & both
        if inside.sum() < 10:
            continue
        then, now = float(before[inside].mean(dtype=np.float64)), float(flow[inside].mean(dtype=np.float64))
        found[name] = {
            "cbf_first": then, "cbf_later": now, "change_percent": 100.0 * (now - then) / then if then > 0 else None,
            "voxels": int(inside.sum()),
        }  # fmt: skip
    times = [(study.metrics.values.get("by_region") or {}).get("brain", {}).get("att") for study in (first, second)]
    if "brain" in found:
        found["brain"] |= {"att_first": times[0], "att_later": times[1]}
    return found


def _low_flow(
    first: AslStudy, second: AslStudy, to_later: FloatArray, common: BoolArray
) -> tuple[dict[str, Any], dict[str, BoolArray]]:
    """Low flow of both scans where both show brain."""
    if first.lesions is None or second.lesions is None:
        return {}, {}
    voxel_ml = voxel_volume_ml(first.maps.affine)
    smallest = float(first.lesions.thresholds.get("min_cluster_ml", 0.0))
    moved = _resampled(second.lesions.hypoperfusion.astype(np.float32), to_later, first.maps.shape) > 0.5
    before = without_small_clusters(first.lesions.hypoperfusion & common, voxel_ml, smallest)
    after = without_small_clusters(moved & common, voxel_ml, smallest)
    regions = {"resolved": before & ~after, "persistent": before & after, "new": after & ~before}
    volumes = {"first_ml": before, "later_ml": after, **{f"{name}_ml": mask for name, mask in regions.items()}}
    return {name: round(float(mask.sum()) * voxel_ml, 4) for name, mask in volumes.items()}, regions


def _place(motion: FloatArray, first: AslStudy, likeness: float) -> dict[str, float]:
    """How far the head has moved."""
    inside = np.argwhere(first.difference.mask)
    center = first.maps.affine[:3, :3] @ inside.mean(axis=0) + first.maps.affine[:3, 3]
    angle = np.degrees(np.arccos(np.clip((np.trace(motion[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)))
    shift = float(np.linalg.norm(motion[:3, :3] @ center + motion[:3, 3] - center))
    return {"moved_mm": round(shift, 3), "moved_deg": round(float(angle), 3), "likeness": round(likeness, 4)}


def _findings(likeness: float, overlap: float, second: AslStudy) -> list[QualityFinding]:
    """What is odd about the comparison, and what was odd about the later scan."""
    found = []
    if likeness < _POOR_MATCH:
        text = f"After registration the images of the two scans correlate by {likeness:.2f} only."
        advice = "Compare the two scans by eye; changes of flow may be wrong."
        found.append(QualityFinding("follow_up_misaligned", "warning", text, advice))
    if overlap < _SMALL_OVERLAP:
        text = f"The follow-up shows {100.0 * overlap:.0f} % of the brain of the first scan; only that part is compared."
        found.append(QualityFinding("follow_up_partial", "warning", text, "Flow outside of it is not known."))
    for finding in second.findings:
        if finding.severity != "info":
            words = f"Follow-up: {finding.message}"
            found.append(QualityFinding(f"follow_up_{finding.code}", finding.severity, words, finding.advice))
    return found


def _joined(
    first: AslStudy,
    second: AslStudy,
    flow: NDArray[np.float32],
    numbers: Mapping[str, Any],
    regions: Mapping[str, BoolArray],
    findings: list[QualityFinding],
) -> AslStudy:
    """The first study with what the later one tells."""
    method = second.maps["cbf"].provenance
    made = PerfusionMaps.from_arrays(
        {"cbf_later": np.where(first.difference.mask, flow, np.nan)}, first.maps.affine,
        provenance=Provenance(method.method, method.settings, method.software),
    )  # fmt: skip
    maps = first.maps.added(made["cbf_later"])
    values = {**first.metrics.values, "follow_up": plain(dict(numbers))}
    lesions = None if first.lesions is None else replace(first.lesions, extra={**first.lesions.extra, **regions})
    return replace(
        first, maps=maps, metrics=Metrics(values, first.metrics.notes), lesions=lesions,
        findings=tuple(dict.fromkeys([*first.findings, *findings])),
    )  # fmt: skip
