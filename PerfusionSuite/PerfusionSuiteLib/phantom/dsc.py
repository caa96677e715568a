# SPDX-License-Identifier: Apache-2.0
"""The digital DSC-MRI patient: stroke or tumor, gradient-echo EPI with one or two echoes, Rician noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Acquisition, InvalidInputError, PerfusionSeries, ProgressCallback, Source, part_of
from ..core.constants import flow_factor
from ..core.geometry import FloatArray
from .acquisition import Protocol, Sampling, fine_grid, sampling
from .atlas import load_atlas
from .bolus import STEP_S, Bolus, dispersed, draw_bolus
from .ctp import RECIPES, Patient, make_patient, moved_volume, volume_parts
from .diffusion import diffusion_maps
from .draws import lognormal, stream
from .dsc_signal import Compartment4D, Surroundings, make_compartments, make_surroundings
from .dsc_tumor import PREVALENCE, Tumor, draw_tumor, leakage_per_min, leakage_sign, positions, with_tumor
from .lesion import SITES as STROKE_SITES
from .lesion import Lesion, draw_lesion
from .motion import draw_motion
from .mr_protocol import Sequence, draw_mr_protocol
from .mr_scanner import draw_receiver
from .residues import draw_families
from .truth import PhantomTruth
from .truth_maps import ScanTruth, acquisition_truth

SITES = (*STROKE_SITES, "tumor")


@dataclass(frozen=True)
class _Scan:
    """A patient in a scanner."""

    seed: int
    recipe: str
    patient: Patient
    protocol: Protocol
    sequence: Sequence
    averaging: Sampling
    compartments: list[Compartment4D]
    surroundings: Surroundings
    transforms: FloatArray


def dsc(
    *,
    seed: int,
    recipe: str = "typical",
    snr: float | None = None,
    residue: str | None = None,
    site: str | None = None,
    motion: str | None = None,
    motion_mm: float | None = None,
    field_t: float | None = None,
    echo_times_s: tuple[float, ...] | None = None,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    interval_s: float | None = None,
    frames: int | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[PerfusionSeries, PhantomTruth]:
    """Make a digital DSC-MRI patient: one seed, one patient.

    The head, its vessels and its stroke are those of ``ctp`` with the same seed.

    Parameters
    ----------
    seed : int
        The patient, 0 or more. Seeds below 1000 are for development.
    recipe : {"clean", "typical", "hard"}
        Difficulty: noise, motion, frames before the steady state, length of the baseline.
    snr : float, optional
        Mean signal of brain over the standard deviation of the noise; ``inf`` for none. Default 100, 50 or 20 to 35 by recipe.
    residue : str, optional
        ``box``, ``exponential``, ``gamma:K`` or ``mixed``.
    site : str, optional
        A stroke as in ``ctp``, or ``tumor``.
    motion : {"none", "drift", "nod", "jerks"}, optional
        Head motion.
    motion_mm : float, mm, optional
        How far the brain gets at most.
    field_t : {1.5, 3.0}, T, optional
        Field strength.
    echo_times_s : tuple of float, s, optional
        One echo time; for two see `dsc_echoes`.
    shape : tuple of int, optional
        (I, J, K).
    spacing_mm : tuple of float, mm, optional
        Voxel size; slices touch.
    interval_s : float, s, optional
        Repetition time.
    frames : int, optional
        Number of frames.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    PerfusionSeries
        The scan, signal in arbitrary units.
    PhantomTruth
        What is true about it: as for ``ctp``, with ``ktrans`` (1/min), ``adc`` and ``adc_measured`` (1e-6 mm^2/s) among the maps
        and curves in mM.

    Raises
    ------
    InvalidInputError
        If a value is unknown or out of range.
    """
    if echo_times_s is not None and len(echo_times_s) != 1:
        msg = f"One echo time is expected, not {len(echo_times_s)}. Call dsc_echoes for two echoes."
        raise InvalidInputError(msg)
    series, truth = dsc_echoes(
        seed=seed, recipe=recipe, snr=snr, residue=residue, site=site, motion=motion, motion_mm=motion_mm, field_t=field_t,
        echo_times_s=echo_times_s, dual_echo=False, shape=shape, spacing_mm=spacing_mm, interval_s=interval_s, frames=frames,
        progress=progress,
    )  # fmt: skip
    return series[0], truth


def dsc_echoes(
    *,
    seed: int,
    recipe: str = "typical",
    snr: float | None = None,
    residue: str | None = None,
    site: str | None = None,
    motion: str | None = None,
    motion_mm: float | None = None,
    field_t: float | None = None,
    echo_times_s: tuple[float, ...] | None = None,
    dual_echo: bool = True,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    interval_s: float | None = None,
    frames: int | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[tuple[PerfusionSeries, ...], PhantomTruth]:
    """Make a digital DSC-MRI patient with one series per echo.

    Parameters
    ----------
    seed, recipe, snr, residue, site, motion, motion_mm, field_t, shape, spacing_mm, interval_s, frames, progress
        See `dsc`.
    echo_times_s : tuple of float, s, optional
        One or two echo times.
    dual_echo : bool
        Whether two echo times are drawn when none are given.

    Returns
    -------
    tuple of PerfusionSeries
        One per echo.
    PhantomTruth
        See `dsc`.

    Raises
    ------
    InvalidInputError
        If a value is unknown or out of range.
    """
    _check(seed, recipe, site)
    report = part_of(progress, 0.0, 1.0)
    report(0.0, "Drawing a patient")
    atlas = load_atlas()
    tumor = _tumor_of(seed, site)
    lesion = draw_lesion(seed, atlas, "none" if tumor is not None else site)
    families = draw_families(stream(seed, "tissue", 1), residue)
    protocol, sequence = draw_mr_protocol(
        seed, recipe, lesion.site, tesla=field_t, echo_times_s=echo_times_s, dual_echo=dual_echo, shape=shape,
        spacing_mm=spacing_mm, interval_s=interval_s, frames=frames,
    )  # fmt: skip
    bolus = _bolus(seed, recipe, float(protocol.times_s[-1]) + 3.0)
    onset = bolus.parameters["start_s"] + 0.5 * bolus.parameters["rise_s"]
    transforms, moved = draw_motion(seed, recipe, motion, protocol.times_s, onset, motion_mm)
    patient = make_patient(seed, atlas, lesion, fine_grid(protocol), recipe)
    if tumor is not None:
        patient = replace(patient, tissue=with_tumor(patient.tissue, patient.brain, tumor))
    report(0.25, "Building curves")
    parts, averaging = volume_parts(patient), sampling(protocol, patient.grid)
    compartments = make_compartments(seed, patient, parts, families, bolus, sequence, tumor)
    truth = acquisition_truth(seed, patient.grid, averaging, parts, patient.tissue, lesion, patient.pose, protocol)
    _add_maps(seed, truth, patient, parts, averaging, tumor)
    around = make_surroundings(patient, bolus, sequence)
    scan = _Scan(seed, recipe, patient, protocol, sequence, averaging, compartments, around, transforms)
    data, receiver = _images(scan, snr, truth, part_of(progress, 0.3, 0.97))
    parameters = {
        "seed": seed, "recipe": recipe, "residue": {n: f.name for n, f in families.items()}, "anatomy": patient.pose.parameters,
        "head": patient.head.parameters, "lesion": lesion.parameters, "tumor": _tumor_facts(tumor, lesion, patient, sequence),
        "tissue": patient.tissue.parameters, "bolus": bolus.parameters, "protocol": protocol.parameters, "scanner": receiver,
        "motion": moved, "old_infarct": patient.old_infarct, **truth.parameters,
    }  # fmt: skip
    side = lesion.side if tumor is None else tumor.side
    known = truth.with_curves(protocol, bolus, transforms, side, patient.pose.midplane(), parameters)
    report(1.0, "Done")
    series = tuple(
        _series(seed, values, protocol, sequence, echo) for values, echo in zip(data, sequence.echo_times_s, strict=True)
    )
    return series, replace(known, curve_unit="mM")


def _check(seed: int, recipe: str, site: str | None) -> None:
    if seed < 0:
        msg = f"The seed is {seed}, but it must be 0 or more."
        raise InvalidInputError(msg)
    if recipe not in RECIPES:
        msg = f"There is no recipe '{recipe}'. Use clean, typical or hard."
        raise InvalidInputError(msg)
    if site is not None and site not in SITES:
        msg = f"There is no lesion site '{site}'. Use one of {', '.join(SITES)}."
        raise InvalidInputError(msg)


def _tumor_of(seed: int, site: str | None) -> Tumor | None:
    drawn = stream(seed, "lesion", 2).random() < PREVALENCE
    return draw_tumor(seed) if site == "tumor" or (site is None and drawn) else None


def _bolus(seed: int, recipe: str, duration_s: float) -> Bolus:
    """Return the patient's bolus in mM, later than in CT: MR scans record a baseline of several frames before."""
    rng = stream(seed, "bolus", 1)
    later = float(np.round(rng.uniform(0.0 if recipe == "hard" else 6.0, 14.0), 1))
    peak_mm = lognormal(rng, 5.0, 0.25, 3.0, 8.0)
    found = draw_bolus(seed, duration_s)
    steps = round(later / STEP_S)
    scale = peak_mm / found.parameters["peak_hu"]
    aif, vof = (scale * dispersed(found.times_s, curve, steps * STEP_S, 0.0, 1.0) for curve in (found.aif, found.vof))
    drawn = {**found.parameters, "start_s": found.parameters["start_s"] + steps * STEP_S, "peak_mm": peak_mm}
    del drawn["peak_hu"]
    return replace(found, aif=aif, vof=vof, parameters=drawn)


def _add_maps(
    seed: int,
    truth: ScanTruth,
    patient: Patient,
    parts: dict[str, NDArray[np.float32]],
    averaging: Sampling,
    tumor: Tumor | None,
) -> None:
    """Add diffusion, leakage and the tumor's masks to the truth."""
    truth.maps["adc"], truth.maps["adc_measured"] = diffusion_maps(seed, patient, parts, averaging, tumor)
    if tumor is None:
        return
    flat = {name: np.zeros(int(np.prod(patient.grid.shape)), np.float32) for name in ("amount", "ktrans", "alive", "dead")}
    for part in patient.tissue.compartments.values():
        points = positions(part, patient.brain)
        alive, dead, _ = tumor.shares(points)
        for name, values in (("amount", 1.0), ("ktrans", leakage_per_min(points, tumor)), ("alive", alive), ("dead", dead)):
            flat[name][part.where] += (part.fraction * values).astype(np.float32)
    mean = {name: averaging.average(values.reshape(patient.grid.shape)).transpose(2, 1, 0) for name, values in flat.items()}
    have = mean["amount"] > 0.05
    share = np.where(have, mean["amount"], 1.0)
    truth.maps["ktrans"] = np.where(have, mean["ktrans"] / share, np.nan).astype(np.float32)
    truth.masks["tumor"] = have & ((mean["alive"] + mean["dead"]) / share > 0.5)
    truth.masks["tumor_alive"] = have & (mean["alive"] / share > 0.8)


def _tumor_facts(tumor: Tumor | None, lesion: Lesion, patient: Patient, sequence: Sequence) -> dict[str, Any]:
    """Return what was drawn of the tumor and which effect of leakage prevails."""
    if tumor is None:
        return {"kind": "none"}
    through_t1, through_t2star = leakage_sign(
        tumor, sequence.field, sequence.repetition_s, sequence.flip_deg, sequence.echo_times_s[-1]
    )
    white = patient.tissue.compartments["wm"]
    white_cbv = float(np.median(white.cbv[white.fraction > 0.9]))
    reference = sequence.field.tissue_relaxivity * 60.0 * white_cbv / flow_factor()
    net = tumor.parameters["ktrans_per_min"] / 60.0 / 0.55 * (through_t1 - through_t2star)
    return {
        "kind": "tumor", **tumor.parameters, "leakage_through_t1": through_t1, "leakage_through_t2star": through_t2star,
        "k2_sign": int(np.sign(net)), "k2_expected_per_s": net / reference, "stroke": lesion.site,
    }  # fmt: skip


def _images(
    scan: _Scan, snr: float | None, truth: ScanTruth, progress: ProgressCallback
) -> tuple[list[NDArray[np.float32]], dict[str, Any]]:
    """Return all frames of each echo, (I, J, K, T), and what was drawn of the receiver."""
    protocol, sequence = scan.protocol, scan.sequence
    tissue = (truth.fractions["gm"] + truth.fractions["wm"] + truth.fractions["deep"] > 0.8).transpose(2, 1, 0)
    settled = _exact(scan, np.eye(4), 0.0, 1000)
    receiver = draw_receiver(scan.seed, scan.recipe, snr, protocol, settled[0], tissue)
    frames = [np.empty((protocol.times_s.size, *protocol.shape[::-1]), np.float32) for _ in sequence.echo_times_s]
    for n, time in enumerate(protocol.times_s):
        progress(n / protocol.times_s.size, "Scanning")
        exact = _exact(scan, scan.transforms[n], float(time), sequence.pulses_before + n)
        for echo, image in enumerate(exact):
            frames[echo][n] = receiver.deliver(image, n, echo, float(time))
    return [np.ascontiguousarray(f.transpose(3, 2, 1, 0)) for f in frames], receiver.parameters


def _exact(scan: _Scan, transform: FloatArray, time_s: float, pulses: int) -> list[NDArray[np.float32]]:
    """Return the exact signal of one frame, (K, J, I) per echo."""
    grid = scan.patient.grid
    volumes = [np.zeros(math.prod(grid.shape), np.float32) for _ in scan.sequence.echo_times_s]
    near = scan.surroundings.rate(time_s)
    for compartment in scan.compartments:
        compartment.add(volumes, time_s, pulses, scan.sequence, near)
    return [scan.averaging.average(moved_volume(v.reshape(grid.shape), grid, transform)) for v in volumes]


def _series(seed: int, data: NDArray[np.float32], protocol: Protocol, sequence: Sequence, echo_s: float) -> PerfusionSeries:
    details = {"field_strength_t": sequence.field.tesla, "flip_angle_deg": sequence.flip_deg}
    acquisition = Acquisition("phantom", None, False, "", (echo_s,), sequence.repetition_s, details)
    return PerfusionSeries(data, protocol.affine, protocol.times_s, "dsc", acquisition, Source("phantom", f"phantom-{seed:04d}"))
