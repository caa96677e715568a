# SPDX-License-Identifier: Apache-2.0
"""The arterial and the venous curve of a prepared scan: chosen, scaled for partial volume, checked against tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from . import fitting, input_function, regional
from .core import Concentration, InputFunction, InvalidInputError, ProgressCallback, QualityFinding
from .core.geometry import voxel_sizes
from .input_function.quality import warning, with_findings
from .preparation import Clock, Prepared
from .settings import Settings, UserInputs

NOTICEABLE = 0.05
"""Change of the later part of the artery from which on users are told."""

FAR_WORSE = 0.1
"""By how much an artery must explain tissue worse than another one (mean logarithm of what is left): among good arteries of six
development patients that differs by up to 0.05, between one that left its voxels and others by 0.3."""

LESS_ALIKE = 0.03
"""By how much voxels of an artery must be less alike (quality ``misfit``) than those of another one for that to come first: in
still heads arteries of a patient differ by 0.01; in four moved heads that differ by 0.04 to 0.1 the error of the curve falls by a
fifth to two thirds (development patients 7001 to 7032)."""


FAR_APART, FULL_INTERVAL_S = 0.04, 1.5
"""Part of the shared course that a chosen artery does not explain from which on motion changed that artery, more where frames are
farther apart than this, as lags are then told less well. Arteries of still heads have 0.01 to 0.02; of 20 moved heads ten have up
to 0.034, and the others, with flow that their artery makes 3 to 34 % too low or high, 0.040 to 0.097."""

TALL_OVER_NOISE, TALL_PARTS = 5.0, (0.3, 0.1)
"""Voxels that may be arteries: so many times the noise, and this part of the chosen artery, high when that is highest; the second
where the first leaves too few."""

OF_CHOSEN_VOXELS = ("misfit", "motion_share")
"""What the quality of an artery says of its voxels, which does not hold for a course that others share."""


def chosen_curves(
    prepared: Prepared, settings: Settings, inputs: UserInputs, clock: Clock, progress: ProgressCallback
) -> tuple[InputFunction, InputFunction | None]:
    """Choose AIF and VOF; the artery as it was measured, or the mean of tissue for a method that takes that."""
    c, image = prepared.concentration, prepared.density_image
    if not regional.needs_artery(settings, inputs):
        with clock.step("input_function"):
            progress(0.0, "Reference curve")
            return regional.reference_input(c, prepared.masks), None
    with clock.step("input_function"):
        progress(0.0, "Arterial input function")
        aif = _given(inputs, "aif", prepared) or _measured(prepared, settings)
        _check_beginning(c, aif)
        progress(0.6, "Venous output function")
        vof = _given(inputs, "vof", prepared) or input_function.select_vof(
            c.data, c.times_s, mask=c.mask, affine=c.affine, aif=aif, baseline=image
        )
    return aif, vof


def scaled(measured: InputFunction, vof: InputFunction | None, settings: Settings, inputs: UserInputs) -> InputFunction:
    """Scale a measured artery for partial volume."""
    return input_function.scale_to_vof(measured, vof) if _is_rough(measured, settings, inputs) else measured


def as_tissue_shows(
    measured: InputFunction, prepared: Prepared, settings: Settings, inputs: UserInputs, clock: Clock
) -> InputFunction:
    """Raise or lower what follows the first pass of a measured artery as tissue asks for (CT).

    Tissue in the voxels of an artery, motion and hardening of the beam change the first pass and what comes back differently. A
    later part that is too low makes all tissue look as if its residue were longer.
    """
    c = prepared.concentration
    if c.unit != "HU" or not _is_rough(measured, settings, inputs):
        return measured
    with clock.step("input_function"):
        curves = _tissue(prepared)
        share = fitting.lacking_share(curves, c.times_s, measured.values)
    if np.isnan(share):
        return measured
    if np.isinf(share):
        side = "stronger" if share > 0 else "weaker"
        text = f"Tissue asks for an artery that is far {side} after its first pass than the one that was found."
        return with_findings(measured, warning("aif_unlike_tissue", text, "Look at the arterial voxels and their curve."))
    findings = []
    if abs(share) >= NOTICEABLE:
        text = f"After its first pass the arterial curve was changed by {100 * share:+.0f} %, as tissue shows it."
        findings.append(QualityFinding("aif_later_part", "info", text, "Compare the measured and the used curve."))
    values = measured.values * (1.0 + share * fitting.later_part(c.times_s, measured.values))
    return with_findings(measured, *findings, values=values, quality={**measured.quality, "late_share": share})


def _feeding(prepared: Prepared, arteries: Sequence[InputFunction]) -> InputFunction:
    """Choose among arteries, best first: the first one, unless it explains tissue far worse than another (CT).

    Where the head moved, a tall and early curve can be one whose artery left its voxels. If it left some of them, they differ.
    """
    c = prepared.concentration
    arteries = [arteries[0], *(artery for artery in arteries[1:] if "aif_late" not in artery.flags)]
    if c.unit != "HU" or len(arteries) == 1:
        return arteries[0]
    apart = [artery.quality.get("misfit", 0.0) for artery in arteries]
    if apart[0] > min(apart) + LESS_ALIKE:
        arteries.insert(0, arteries.pop(int(np.argmin(apart))))
    curves = _tissue(prepared)
    left = np.array([fitting.unexplained(curves, c.times_s, artery.values) for artery in arteries])
    if np.isnan(left).any() or left[0] <= left.min() + FAR_WORSE:
        return arteries[0]
    chosen = arteries[int(np.argmax(left <= left.min() + FAR_WORSE))]  # misfits do not tell how late an artery is, the order does
    text = "The most conspicuous artery cannot have fed this tissue; another one was taken."
    return with_findings(chosen, warning("aif_by_tissue", text, "Look at the arterial voxels and their curve."))


def _measured(prepared: Prepared, settings: Settings) -> InputFunction:
    c = prepared.concentration
    aif = _feeding(prepared, input_function.aif_candidates(
        c.data, c.times_s, mask=c.mask, affine=c.affine, baseline=prepared.density_image, exclude=prepared.avoid,
        method=settings.aif_method, unit=c.unit,
    ))  # fmt: skip
    return _steadied(aif, prepared) if settings.scale_aif else aif


def _steadied(aif: InputFunction, prepared: Prepared) -> InputFunction:
    """Take the course that all arteries share where the head moved and the chosen voxels differ from it (CT)."""
    c, told = prepared.concentration, aif.quality
    if c.unit != "HU" or prepared.courses is None or not prepared.courses.shape[1]:
        return aif
    if told["baseline_shift"]:  # contrast was there from the beginning, by how much in each voxel is not known
        return aif
    rows, inside = c.data.reshape(-1, c.times_s.size), np.flatnonzero(c.mask)
    top = int(aif.values.argmax())
    level = rows[inside, max(top - 1, 0) : top + 2].mean(axis=1)
    shared = None
    for part in TALL_PARTS:
        tall = rows[inside[level > max(TALL_OVER_NOISE * told["noise_sd"], part * float(aif.values[top]))]]
        tall = tall[np.isfinite(tall).all(axis=1)]
        shared = input_function.shared_course(tall, c.times_s, aif.values, told["noise_sd"], len(aif.voxels))
        if shared is not None:
            break
    limit = FAR_APART * max(1.0, float(np.median(np.diff(c.times_s))) / FULL_INTERVAL_S)
    if shared is None or shared.apart <= limit:
        return aif
    text = (
        f"The head moved, and the curve of the chosen arterial voxels differs by {100 * shared.apart:.0f} % from what "
        f"{shared.voxels} voxels of arteries share, which was taken instead."
    )
    quality = input_function.describe(
        c.times_s, shared.values, voxels=len(aif.voxels), tissue_ttp_s=told["tissue_ttp_gap_s"] + told["ttp_s"],
        saturated_fraction=told["saturated_fraction"],
    )  # fmt: skip
    finding = QualityFinding("aif_shared", "info", text, "Look at the arterial curve, and give another one if you know better.")
    known = {key: value for key, value in told.items() if key not in OF_CHOSEN_VOXELS}
    return with_findings(aif, finding, values=shared.values, quality={**known, **quality, "apart": shared.apart})


def _tissue(prepared: Prepared) -> NDArray[np.float32]:
    """Curves from all tissue."""
    c, masks = prepared.concentration, prepared.masks
    tissue = c.mask & ~(masks.csf | masks.vessel | masks.bone)
    return fitting.sampled_curves(c.data, tissue, voxel_sizes(c.affine))


def _is_rough(measured: InputFunction, settings: Settings, inputs: UserInputs) -> bool:
    """Whether a curve is one of voxels, which a curve that the user gave or the mean of tissue is not."""
    return measured.kind == "aif" and settings.scale_aif and inputs.aif is None


def _check_beginning(concentration: Concentration, aif: InputFunction) -> None:
    """Refuse a scan whose bolus was missed: what was chosen as an artery then is none."""
    told = {finding.code for finding in (*concentration.findings, *aif.findings)}
    if aif.origin == "automatic" and {"short_baseline", "aif_late"} <= told:
        msg = (
            "The scan begins when contrast is already in the brain, and no artery was found that fills before the tissue. "
            "Choose a scan that starts earlier, or give the arterial curve."
        )
        raise InvalidInputError(msg)


def _given(inputs: UserInputs, kind: str, prepared: Prepared) -> InputFunction | None:
    """Return the curve that the user gave, at the times of the concentration, which has lost frames or was resampled."""
    c, masks = prepared.concentration, prepared.masks
    curve, points = (inputs.aif, inputs.aif_points) if kind == "aif" else (inputs.vof, inputs.vof_points)
    times = c.times_s
    if points is not None:
        inside = masks.brain & c.mask & ~(masks.vessel | masks.csf)
        tissue = c.data[inside].mean(axis=0) if inside.any() else None
        return input_function.from_points(
            c.data, times, points, affine=c.affine, mask=c.mask, kind=kind, tissue_curve=tissue, unit=c.unit
        )
    if curve is None or (curve.times_s.size == times.size and np.allclose(curve.times_s, times)):
        return curve
    return replace(curve, times_s=times, values=np.interp(times, curve.times_s, curve.values))
