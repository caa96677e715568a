# SPDX-License-Identifier: Apache-2.0
"""A simulated brain as an ASL scan: pairs of controls and labels with noise, and an M0 image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...core.asl import AslSeries
from ...core.errors import InvalidInputError
from ...core.series import Acquisition, Source
from ..draws import stream
from .whole_brain import VesselBrain

PARTITION = 0.9
"""Blood-brain partition coefficient, mL/g: M0 of tissue is that of as much blood."""

EFFICIENCY = 0.85
_SIGNAL, _FLUID, _AROUND, _AROUND_MM = 1000.0, 1.25, 0.3, 4.0
_M0_REPETITION_S = 20.0


def brain_scan(brain: VesselBrain, *, seed: int, repetitions: int = 3, snr: float = 300.0) -> AslSeries:
    """Scan a simulated brain.

    Parameters
    ----------
    brain : VesselBrain
        What `brain` made.
    seed : int
        Of the noise.
    repetitions : int
        Pairs at each delay.
    snr : float
        M0 of tissue over the standard deviation of the noise in one volume; ``inf`` for none.

    Returns
    -------
    AslSeries
        PCASL at 3 T without motion, in pairs, with a separate M0 image of fully relaxed tissue.

    Raises
    ------
    InvalidInputError
        If numbers make no sense.

    Notes
    -----
    ``dM = 2 alpha S M0_tissue / lambda``, the definition of label density, with M0 of pure tissue in every voxel since
    blood's M0 does not depend on what surrounds it.
    """
    if repetitions < 1 or not snr > 0:
        msg = f"A scan with {repetitions} pairs and a signal-to-noise ratio of {snr:g} cannot be made. Give positive numbers."
        raise InvalidInputError(msg)
    rng = stream(seed, "noise", 21)
    inside = np.minimum(brain.gray + brain.white + brain.fluid, 1.0)
    spacing = np.abs(np.diag(brain.affine)[:3])
    around = (ndimage.distance_transform_edt(inside < 0.05, spacing) <= _AROUND_MM) * (1.0 - inside)
    relaxed = _SIGNAL * (brain.gray + brain.white + _FLUID * brain.fluid + _AROUND * around)
    sd = _SIGNAL / snr
    difference = 2.0 * EFFICIENCY * brain.delta_s * (_SIGNAL / PARTITION)
    volumes, kinds, delays = [], [], []
    for number, delay in enumerate(brain.post_label_delays_s):
        for _ in range(repetitions):
            for kind, still in (("control", relaxed), ("label", relaxed - difference[..., number])):
                noise = sd * rng.standard_normal((2, *relaxed.shape))
                volumes.append(np.hypot(still + noise[0], noise[1] if snr < np.inf else 0.0) if sd > 0 else np.abs(still))
                kinds.append(kind)
                delays.append(float(delay))
    venc = brain.parameters.get("crushers_cm_per_s")
    m0 = np.abs(relaxed + sd * rng.standard_normal(relaxed.shape)) if sd > 0 else relaxed
    return AslSeries(
        data=np.stack(volumes, axis=-1).astype(np.float32),
        affine=brain.affine,
        volume_types=tuple(kinds),
        post_label_delays_s=np.array(delays),
        label_durations_s=np.full(len(delays), brain.label_duration_s),
        labeling="pcasl",
        m0=m0.astype(np.float32),
        m0_repetition_s=_M0_REPETITION_S,
        labeling_efficiency=EFFICIENCY,
        background_suppression_pulses=0,
        field_strength_t=3.0,
        acquisition=Acquisition(details={"vascular_crushing": True, "vascular_crushing_venc_cm_per_s": venc} if venc else {}),
        source=Source(),
    )
