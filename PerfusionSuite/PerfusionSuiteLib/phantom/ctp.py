# SPDX-License-Identifier: Apache-2.0
"""The digital CT perfusion patient: anatomy, vessels, bolus, tissue, lesion, motion and scanner put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..core import Acquisition, InvalidInputError, PerfusionSeries, ProgressCallback, Source, part_of
from ..core.geometry import FloatArray
from .acquisition import Protocol, Sampling, draw_protocol, fine_grid, sampling
from .anatomy import Brain, FineGrid, Pose, draw_pose, make_brain
from .atlas import COARSE_MM, Atlas, load_atlas, sample_lattice
from .bolus import draw_bolus
from .draws import stream
from .enhancement import Source as Enhancing
from .enhancement import make_sources
from .head import AIR_HU, THROMBUS_HU, Head, make_head
from .holder import draw_holder, holder_hu
from .lesion import Lesion, draw_lesion, effect
from .motion import draw_motion
from .old_infarct import scarred
from .residues import draw_families
from .scanner import Degrader, draw_degrader
from .tissue import Tissue, make_tissue
from .truth import PhantomTruth
from .truth_maps import acquisition_truth
from .vessel_tubes import VesselVolume, fill_voxels, make_arteries, make_veins

RECIPES = ("clean", "typical", "hard")
BLOOD_HU = 42.0


@dataclass(frozen=True)
class Patient:
    """Everything about a patient on the fine grid, before a scanner looks."""

    pose: Pose
    grid: FineGrid
    brain: Brain
    head: Head
    lesion: Lesion
    tissue: Tissue
    arteries: VesselVolume
    veins: VesselVolume
    still_hu: NDArray[np.float32]
    old_infarct: dict[str, Any]


def ctp(
    *,
    seed: int,
    recipe: str = "typical",
    noise_hu: float | None = None,
    residue: str | None = None,
    site: str | None = None,
    motion: str | None = None,
    motion_mm: float | None = None,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    interval_s: float | None = None,
    frames: int | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[PerfusionSeries, PhantomTruth]:
    """Make a digital CT perfusion patient: one seed, one patient.

    What is not given is drawn from the seed; anatomy, vessels, bolus, lesion and noise have
    independent random streams, so that another noise level or grid is the same patient.

    Parameters
    ----------
    seed : int
        The patient, 0 or more. Seeds below 1000 are for development.
    recipe : {"clean", "typical", "hard"}
        Difficulty: noise, artefacts, motion, table movement.
    noise_hu : float, HU, optional
        Root-mean-square noise of brain voxels in a frame; 0 for none. Default 2, 4 or 5 to 8 by recipe.
    residue : str, optional
        ``box``, ``exponential``, ``gamma:K`` or ``mixed`` (differs between tissues).
    site : str, optional
        Lesion: ``ica m1 m2-superior m2-inferior m3 aca pca basilar lacunar none stenosis bilateral luxury seizure``.
    motion : {"none", "drift", "nod", "jerks"}, optional
        Head motion.
    motion_mm : float, mm, optional
        Its size: how far the point of the brain that moves most gets.
    shape : tuple of int, optional
        (I, J, K).
    spacing_mm : tuple of float, mm, optional
        Voxel size; slices touch.
    interval_s : float, s, optional
        Time between frames.
    frames : int, optional
        Number of frames.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    PerfusionSeries
        The scan, HU.
    PhantomTruth
        What is true about it.

    Raises
    ------
    InvalidInputError
        If a value is unknown or out of range.
    """
    _check(seed, recipe, noise_hu)
    report = part_of(progress, 0.0, 1.0)
    report(0.0, "Drawing a patient")
    atlas = load_atlas()
    lesion = draw_lesion(seed, atlas, site)
    families = draw_families(stream(seed, "tissue", 1), residue)
    protocol = draw_protocol(seed, recipe, lesion.site, shape=shape, spacing_mm=spacing_mm, interval_s=interval_s, frames=frames)
    bolus = draw_bolus(seed, float(protocol.times_s[-1]) + 3.0)
    onset = bolus.parameters["start_s"] + 0.5 * bolus.parameters["rise_s"]
    transforms, moved = draw_motion(seed, recipe, motion, protocol.times_s, onset, motion_mm)
    patient = make_patient(seed, atlas, lesion, fine_grid(protocol), recipe)
    report(0.25, "Building curves")
    sources = make_sources(
        bolus,
        families,
        patient.tissue.compartments,
        (patient.arteries.where, patient.arteries.fraction, patient.arteries.delay_s),
        (patient.veins.where, patient.veins.fraction, patient.veins.delay_s),
    )
    averaging = sampling(protocol, patient.grid)
    truth = acquisition_truth(
        seed, patient.grid, averaging, volume_parts(patient), patient.tissue, lesion, patient.pose, protocol
    )
    scanner = draw_degrader(seed, recipe, noise_hu, protocol, truth.brain, truth.bone)
    holder = draw_holder(seed, recipe)
    support = _support(seed, holder, protocol, patient, averaging)
    data = _scan(patient, protocol, sources, averaging, transforms, scanner, support, part_of(progress, 0.3, 0.97))
    parameters = {
        "seed": seed, "recipe": recipe, "residue": {n: f.name for n, f in families.items()}, "anatomy": patient.pose.parameters,
        "head": patient.head.parameters, "lesion": lesion.parameters, "tissue": patient.tissue.parameters,
        "bolus": bolus.parameters, "protocol": protocol.parameters, "scanner": scanner.parameters, "motion": moved,
        "old_infarct": patient.old_infarct, "holder": holder,
        **truth.parameters,
    }  # fmt: skip
    series = PerfusionSeries(
        data,
        protocol.affine,
        protocol.times_s,
        "ctp",
        Acquisition("phantom", protocol.slice_times_s, protocol.slice_times_s is not None, "", details=_technique(scanner)),
        Source("phantom", f"phantom-{seed:04d}"),
    )
    report(1.0, "Done")
    return series, truth.with_curves(protocol, bolus, transforms, lesion.side, patient.pose.midplane(), parameters)


def _check(seed: int, recipe: str, noise_hu: float | None) -> None:
    if seed < 0:
        msg = f"The seed is {seed}, but it must be 0 or more."
        raise InvalidInputError(msg)
    if recipe not in RECIPES:
        msg = f"There is no recipe '{recipe}'. Use clean, typical or hard."
        raise InvalidInputError(msg)
    if noise_hu is not None and not 0.0 <= noise_hu <= 200.0:
        msg = f"The noise is {noise_hu:g} HU, but it must lie between 0 and 200."
        raise InvalidInputError(msg)


def _technique(scanner: Degrader) -> dict[str, Any]:
    return {"padding_value": scanner.padding, "tube_voltage_kv": 80.0, "rescale_intercept": -1024.0}


def make_patient(seed: int, atlas: Atlas, lesion: Lesion, grid: FineGrid, recipe: str = "clean") -> Patient:
    """Make a patient on a fine grid.

    Parameters
    ----------
    seed : int
        The patient.
    atlas : Atlas
        The average brain.
    lesion : Lesion
        Its lesion.
    grid : FineGrid
        Where.
    recipe : {"clean", "typical", "hard"}
        How often there is an old infarct.

    Returns
    -------
    Patient
        Anatomy and hemodynamics.
    """
    pose = draw_pose(seed)
    brain, old = scarred(seed, recipe, make_brain(seed, pose, atlas, grid, margin_mm=24.0), atlas, lesion)
    head = make_head(seed, brain, pose.parameters["atrophy"])
    arteries = fill_voxels(seed, 0, make_arteries(seed, pose, atlas, _late(lesion), _blocked(lesion)), grid)
    veins = fill_voxels(seed, 1, make_veins(seed, pose, atlas), grid)
    taken = np.zeros(int(np.prod(grid.shape)), np.float32)
    taken[arteries.where] += arteries.fraction + arteries.clot
    taken[veins.where] += veins.fraction * (1.0 - np.minimum(taken[veins.where], 1.0))
    taken = np.minimum(taken, 1.0)
    tissue = make_tissue(seed, brain, atlas, lesion, taken[brain.where])
    still = np.full(taken.size, AIR_HU, np.float32)
    still[brain.where] = head.hu
    _darken(still, tissue, lesion)
    still *= 1.0 - taken
    still += taken * BLOOD_HU
    still[arteries.where] += arteries.clot * (THROMBUS_HU - BLOOD_HU)
    return Patient(pose, grid, brain, head, lesion, tissue, arteries, veins, still, old)


def _support(
    seed: int, holder: dict[str, Any] | None, protocol: Protocol, patient: Patient, averaging: Sampling
) -> NDArray[np.float32] | None:
    """Return what the head lies in, above air."""
    if holder is None:
        return None
    return holder_hu(seed, holder, protocol, averaging.average((patient.still_hu - AIR_HU).reshape(patient.grid.shape)))


def _darken(still: NDArray[np.float32], tissue: Tissue, lesion: Lesion) -> None:
    """Let ischemic grey matter lose contrast as hours pass (at most 5 HU)."""
    hours = lesion.parameters["duration_h"]
    loss = min(5.0, 0.6 * hours)
    for name in ("gm", "deep"):
        part = tissue.compartments[name]
        ratio = part.cbf / part.normal_cbf
        still[part.where] -= part.fraction * loss * np.clip((0.32 - ratio) / 0.15, 0.0, 1.0)


def _late(lesion: Lesion) -> Any:
    """Return the delay that a lesion adds to arteries in its territory."""

    def extra(points: FloatArray, group: NDArray[Any]) -> FloatArray:
        severity = sample_lattice(lesion.severity, lesion.origin, COARSE_MM, points)
        added: FloatArray = np.where(group > 0, 0.85 * effect(lesion, severity).delay_s, 0.0)
        return added

    return extra


def _blocked(lesion: Lesion) -> Any:
    """Return which arterial nodes hold a thrombus, given nodes and whether they lie on the left."""
    boxes = {  # territory, path (mm) from and to
        "ica": (0, 62.0, 100.0), "m1": (0, 82.0, 98.0), "m2-superior": (2, 98.0, 112.0), "m2-inferior": (3, 98.0, 112.0),
        "aca": (1, 100.0, 114.0), "pca": (5, 62.0, 80.0), "basilar": (6, 40.0, 66.0),
    }  # fmt: skip

    def closed(nodes: FloatArray, left: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if lesion.site not in boxes:
            return np.zeros(len(nodes), bool)
        group, start, end = boxes[lesion.site]
        here = (nodes[:, 5] == group) & (nodes[:, 4] >= start) & (nodes[:, 4] <= end)
        if lesion.site == "m1":
            here &= np.abs(nodes[:, 0]) > 17.0
        side = np.ones(len(nodes), bool) if lesion.side == "bilateral" else left == (lesion.side == "left")
        found: NDArray[np.bool_] = here & side
        return found

    return closed


def volume_parts(patient: Patient) -> dict[str, NDArray[np.float32]]:
    """Return volume fractions on the flat fine grid; vessels displace what they run through.

    Parameters
    ----------
    patient : Patient
        The patient.

    Returns
    -------
    dict of str to ndarray, shape (V,)
        ``gm wm deep csf artery vein bone``, and ``inside`` (the skull) and ``scar``.
    """
    size = int(np.prod(patient.grid.shape))
    flat = {name: np.zeros(size, np.float32) for name in ("gm", "wm", "deep", "csf", "artery", "vein", "bone", "inside", "scar")}
    arteries, veins = patient.arteries, patient.veins
    flat["artery"][arteries.where] = arteries.fraction + arteries.clot
    flat["vein"][veins.where] = veins.fraction * (1.0 - np.minimum(flat["artery"][veins.where], 1.0))
    free = 1.0 - np.minimum(flat["artery"] + flat["vein"], 1.0)
    for name, part in patient.tissue.compartments.items():
        flat[name][part.where] = part.fraction
    where = patient.brain.where
    flat["bone"][where] = patient.head.bone * free[where]
    tissue = flat["gm"][where] + flat["wm"][where] + flat["deep"][where]
    room = np.maximum(free[where] - flat["bone"][where] - tissue, 0.0)
    flat["csf"][where] = np.minimum(patient.brain.fractions["csf"] * free[where], room)
    # Within the skull: everything that is not bone up to the inner table.
    gap = patient.head.parameters["gap_mm"]
    flat["inside"][where] = np.clip(gap - patient.brain.outside_mm + 0.5, 0.0, 1.0) * (1.0 - flat["bone"][where])
    if patient.brain.scar is not None:
        flat["scar"][where] = patient.brain.scar * np.minimum(tissue + flat["csf"][where], 1.0)
    return flat


def _scan(
    patient: Patient,
    protocol: Protocol,
    sources: list[Enhancing],
    averaging: Sampling,
    transforms: FloatArray,
    scanner: Degrader,
    support: NDArray[np.float32] | None,
    progress: ProgressCallback,
) -> NDArray[np.float32]:
    """Return all frames, (I, J, K, T)."""
    frames = np.empty((protocol.times_s.size, *protocol.shape[::-1]), np.float32)
    base = patient.still_hu - AIR_HU
    for n, time in enumerate(protocol.times_s):
        progress(n / protocol.times_s.size, "Scanning")
        image = _image(patient, protocol, sources, averaging, base, transforms[n], n, float(time))
        if support is not None:  # it lies on the table and does not move with the head
            image = np.maximum(image, support)
        frames[n] = scanner.degrade(image + np.float32(AIR_HU), n, float(time))
    return np.ascontiguousarray(frames.transpose(3, 2, 1, 0))


def _image(
    patient: Patient,
    protocol: Protocol,
    sources: list[Enhancing],
    averaging: Sampling,
    base: NDArray[np.float32],
    transform: FloatArray,
    frame: int,
    time_s: float,
) -> NDArray[np.float32]:
    """Return the exact averages of a frame above air; slices of a shuttle have their own times."""
    times = np.array([time_s]) if protocol.slice_times_s is None else np.unique(protocol.slice_times_s[:, frame])
    image = np.empty(protocol.shape[::-1], np.float32)
    for time in times:
        volume = base.copy()
        for source in sources:
            source.add(volume, float(time))
        fine = moved_volume(volume.reshape(patient.grid.shape), patient.grid, transform)
        seen = averaging.average(fine)
        here = slice(None) if protocol.slice_times_s is None else protocol.slice_times_s[:, frame] == time
        image[here] = seen[here]
    return image


def moved_volume(volume: NDArray[np.float32], grid: FineGrid, transform: FloatArray) -> NDArray[np.float32]:
    """Return a fine volume after a rigid motion.

    Parameters
    ----------
    volume : ndarray, shape (K, J, I)
        Values; 0 is brought in from outside.
    grid : FineGrid
        Its grid.
    transform : ndarray, shape (4, 4), mm
        Takes a point (RAS) to where it moves.

    Returns
    -------
    ndarray, shape (K, J, I)
        The moved volume.
    """
    if np.allclose(transform, np.eye(4), atol=1e-6):
        return volume
    # Voxel of the moved head -> voxel of the still head.
    index = np.linalg.inv(grid.affine) @ np.linalg.inv(transform) @ grid.affine
    image = sitk.GetImageFromArray(volume)
    map_back = sitk.AffineTransform(index[:3, :3].ravel().tolist(), index[:3, 3].tolist())
    moved: NDArray[np.float32] = sitk.GetArrayFromImage(sitk.Resample(image, image, map_back, sitk.sitkLinear, 0.0))
    return moved
