# SPDX-License-Identifier: Apache-2.0
"""The digital ASL patient: the heads of the other recipes, labeled blood, an M0 scan, noise and motion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import Acquisition, InvalidInputError, ProgressCallback, Source, part_of
from ..core.asl import AslSeries, LabelingType
from ..core.geometry import FloatArray, voxel_volume_ml
from .acquisition import Protocol, Sampling, fine_grid, sampling
from .asl_protocol import AslSequence, AslWishes, Volume, draw_asl_protocol
from .asl_signal import AslHead, make_asl_head, readout_lateness
from .asl_truth import AslTruth, asl_maps
from .atlas import load_atlas
from .ctp import RECIPES, make_patient, moved_volume, volume_parts
from .draws import stream
from .lesion import draw_lesion
from .motion import draw_motion
from .mr_scanner import Receiver, draw_receiver

SNR = {"clean": 600.0, "typical": 300.0, "hard": 150.0}
"""Mean M0 of brain over the standard deviation of the noise in one volume, by recipe: ten pairs of ``typical`` leave a noise of
4 % of the strongest tissue label, in the middle of what scans show (qtmnet section 12)."""

NOISES = ("rician", "gaussian")
_UNSTEADY = {"clean": 0.0, "typical": 0.0005, "hard": 0.002}
_M0_STREAM, _LABEL_STREAM = 7, 8


def asl(
    *,
    seed: int,
    recipe: str = "typical",
    labeling: LabelingType = "pcasl",
    post_label_delays_s: tuple[float, ...] | None = None,
    label_duration_s: float | None = None,
    repetitions: int | None = None,
    readout: str | None = None,
    background_suppression_pulses: int | None = None,
    m0: str = "separate",
    content: str = "pairs",
    scaling: float = 1.0,
    snr: float | None = None,
    noise: str = "rician",
    vessels: bool | None = None,
    site: str | None = None,
    motion: str | None = None,
    motion_mm: float | None = None,
    field_t: float | None = None,
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[AslSeries, AslTruth]:
    """Make a digital ASL patient: one seed, one patient.

    Head, vessels and lesion are those of ``ctp`` and ``dsc`` with the same seed, scanned later (see `make_asl_head`).

    Parameters
    ----------
    seed : int
        The patient, 0 or more. Seeds below 1000 are for development.
    recipe : {"clean", "typical", "hard"}
        Difficulty: noise, motion, dispersion, how far constants are from those that models assume.
    labeling : {"pcasl", "casl", "pasl"}
        How blood is labeled.
    post_label_delays_s : tuple of float, s, optional
        Delays (PASL: inversion times). Default 1.025, 1.525, 2.025 and 2.525 s; one of 1.8 s for PASL.
    label_duration_s : float, s, optional
        Labeling duration (PASL: bolus cut-off). Default 1.45, 2.0 or 0.8 s.
    repetitions : int, optional
        Pairs at each delay. Default 10, or 30 with one delay.
    readout : {"3d", "2d"}, optional
        2D reads slices 40 ms apart.
    background_suppression_pulses : int, optional
        0 for none; default 2.
    m0 : {"separate", "included", "estimate", "absent"}
        Where M0 is: an image of its own, the first volume, one number, nowhere.
    content : {"pairs", "deltam"}
        Controls and labels, or one mean difference image per delay as some scanners deliver it.
    scaling : float
        What the scanner multiplies difference images by (``content="deltam"``).
    snr : float, optional
        Mean M0 of brain over the noise of a volume; ``inf`` for none. Default 600, 300 or 150 by recipe.
    noise : {"rician", "gaussian"}
        Distribution.
    vessels : bool, optional
        Whether label in large arteries is seen. Default: not in ``clean``.
    site : str, optional
        A lesion as in ``ctp``.
    motion : {"none", "drift", "nod", "jerks"}, optional
        Head motion.
    motion_mm : float, mm, optional
        How far the brain gets at most.
    field_t : {1.5, 3.0}, T, optional
        Field strength; default 3.
    shape : tuple of int, optional
        (I, J, K).
    spacing_mm : tuple of float, mm, optional
        Voxel size; slices touch.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    AslSeries
        The scan.
    AslTruth
        What is true about it.

    Raises
    ------
    InvalidInputError
        If a value is unknown or out of range.
    """
    _check(seed, recipe, noise, content, scaling)
    wishes = AslWishes(
        labeling, post_label_delays_s, label_duration_s, repetitions, readout, background_suppression_pulses, m0, content,
        field_t, shape, spacing_mm,
    )  # fmt: skip
    report = part_of(progress, 0.0, 1.0)
    report(0.0, "Drawing a patient")
    protocol, sequence = draw_asl_protocol(seed, recipe, wishes)
    atlas = load_atlas()
    lesion = draw_lesion(seed, atlas, site)
    transforms, moved = draw_motion(seed, recipe, motion, protocol.times_s, 0.5 * float(protocol.times_s[-1]), motion_mm)
    patient = make_patient(seed, atlas, lesion, fine_grid(protocol), recipe)
    parts, averaging = volume_parts(patient), sampling(protocol, patient.grid)
    head = make_asl_head(seed, recipe, patient, parts, sequence, vessels=recipe != "clean" if vessels is None else vessels)
    report(0.3, "Scanning")
    maps, fractions, masks = asl_maps(head, averaging, parts)
    tissue = (fractions["gm"] + fractions["wm"] + fractions["deep"] > 0.8).transpose(2, 1, 0)
    relaxed = averaging.average(head.relaxed(math.inf))
    receiver = draw_receiver(seed, recipe, SNR[recipe] if snr is None else snr, protocol, relaxed, tissue)
    maps["m0"] = _turned(relaxed * receiver.shading)
    scan = _Scan(
        seed, recipe, noise, protocol, sequence, averaging, head, receiver, transforms, repetitions or _repetitions(sequence)
    )
    data = scan.images(scaling, part_of(progress, 0.3, 0.98))
    series = _series(scan, wishes, data, scaling, float(relaxed[tissue].mean()) if tissue.any() else float(relaxed.max()))
    parameters = {
        "seed": seed, "recipe": recipe, "anatomy": patient.pose.parameters, "head": patient.head.parameters,
        "lesion": lesion.parameters, "tissue": patient.tissue.parameters, "labeling": head.parameters,
        "protocol": protocol.parameters, "scanner": receiver.parameters, "motion": moved, "old_infarct": patient.old_infarct,
        "scaling": scaling, "noise": noise,
    }  # fmt: skip
    volumes = {"lesion": float(masks["lesion"].sum() * voxel_volume_ml(protocol.affine))}
    report(1.0, "Done")
    return series, AslTruth(
        maps, fractions, masks, protocol.affine, transforms, lesion.side, patient.pose.midplane(), volumes, parameters
    )


def _check(seed: int, recipe: str, noise: str, content: str, scaling: float) -> None:
    if seed < 0:
        msg = f"The seed is {seed}, but it must be 0 or more."
        raise InvalidInputError(msg)
    if recipe not in RECIPES:
        msg = f"There is no recipe '{recipe}'. Use clean, typical or hard."
        raise InvalidInputError(msg)
    if noise not in NOISES:
        msg = f"There is no noise '{noise}'. Use one of {', '.join(NOISES)}."
        raise InvalidInputError(msg)
    if not (scaling == 1.0 or (content == "deltam" and 0.0 < scaling <= 1e4)):
        msg = f"A scaling of {scaling:g} cannot be made. Give 1, or a number above 0 for difference images (content 'deltam')."
        raise InvalidInputError(msg)


def _repetitions(sequence: AslSequence) -> int:
    return 10 if len(sequence.delays_s) > 1 else 30


@dataclass(frozen=True)
class _Scan:
    """A head in a scanner."""

    seed: int
    recipe: str
    noise: str
    protocol: Protocol
    sequence: AslSequence
    averaging: Sampling
    head: AslHead
    receiver: Receiver
    transforms: FloatArray
    repetitions: int

    def images(self, scaling: float, progress: ProgressCallback) -> NDArray[np.float32]:
        """Return all volumes, (I, J, K, V)."""
        late = readout_lateness(self.protocol, self.head.grid, self.sequence.slice_delays_s)
        delays = range(len(self.sequence.delays_s))
        label = [self.head.labeled(self.sequence, d, late) for d in delays]
        still = [self.head.background(self.sequence, d, late) for d in delays]
        volumes = self.sequence.volumes
        frames = np.empty((len(volumes), *self.protocol.shape[::-1]), np.float32)
        unsteady = 1.0 + _UNSTEADY[self.recipe] * stream(self.seed, "noise", 5).standard_normal(len(volumes))
        for n, volume in enumerate(volumes):
            progress(n / len(volumes), "Scanning")
            if volume.kind == "deltam":
                frames[n] = np.float32(scaling) * self._difference(n, label[volume.delay])
                continue
            fine = self._fine(volume, label, still) * np.float32(unsteady[n] if self.receiver.sd.any() else 1.0)
            frames[n] = self._delivered(self._seen(fine, n), n, 1)
        return _turned_all(frames)

    def m0_image(self) -> NDArray[np.float32]:
        """Return the M0 scan, (I, J, K), with the head where it is in the first volume."""
        return _turned(self._delivered(self._seen(self.head.relaxed(self.sequence.m0_repetition_s), 0), 0, _M0_STREAM))

    def _fine(self, volume: Volume, label: list[NDArray[np.float32]], still: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        if volume.kind == "m0scan":
            return self.head.relaxed(self.sequence.m0_repetition_s)
        return still[volume.delay] if volume.kind == "control" else still[volume.delay] - label[volume.delay]

    def _difference(self, n: int, label: NDArray[np.float32]) -> NDArray[np.float32]:
        """A scanner's own mean over its repetitions; complex subtraction leaves normal noise."""
        seen = self._seen(label, n) * self.receiver.shading
        spread = self.receiver.sd * np.float32(math.sqrt(2.0 / self.repetitions))
        return seen + spread * stream(self.seed, "noise", _LABEL_STREAM, n).standard_normal(seen.shape, dtype=np.float32)

    def _seen(self, fine: NDArray[np.float32], n: int) -> NDArray[np.float32]:
        return self.averaging.average(moved_volume(fine, self.head.grid, self.transforms[n]))

    def _delivered(self, exact: NDArray[np.float32], n: int, echo: int) -> NDArray[np.float32]:
        time = float(self.protocol.times_s[n])
        if self.noise == "rician":
            return self.receiver.deliver(exact, n, echo, time)
        shaded = exact * self.receiver.shading * np.float32(1.0 + self.receiver.drift_per_s * time)
        rng = stream(self.seed, "noise", 10_000 * (echo + 1) + n)
        return shaded + self.receiver.sd * rng.standard_normal(exact.shape, dtype=np.float32)


def _turned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values.transpose(2, 1, 0), np.float32)


def _turned_all(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(frames.transpose(3, 2, 1, 0))


def _series(scan: _Scan, wishes: AslWishes, data: NDArray[np.float32], scaling: float, mean_m0: float) -> AslSeries:
    sequence, volumes = scan.sequence, scan.sequence.volumes
    delays = np.array([np.nan if v.delay < 0 else sequence.delays_s[v.delay] for v in volumes])
    labels = np.where(np.isfinite(delays), sequence.label_s, np.nan)
    details: dict[str, Any] = {"field_strength_t": sequence.field.tesla, "readout": sequence.readout.upper()}
    acquisition = Acquisition("phantom", None, False, "", (sequence.echo_s,), None, details)
    return AslSeries(
        data, scan.protocol.affine, tuple(v.kind for v in volumes), delays, labels, sequence.labeling,
        m0=scan.m0_image() if wishes.m0 == "separate" else None,
        m0_value=mean_m0 if wishes.m0 == "estimate" else None,
        m0_repetition_s=sequence.m0_repetition_s if wishes.m0 in ("separate", "included") else None,
        labeling_efficiency=None,
        background_suppression_pulses=sequence.pulses,
        field_strength_t=sequence.field.tesla,
        scaling=scaling,
        slice_delays_s=sequence.slice_delays_s if sequence.readout == "2d" else None,
        acquisition=acquisition,
        source=Source("phantom", f"phantom-{scan.seed:04d}"),
    )  # fmt: skip
