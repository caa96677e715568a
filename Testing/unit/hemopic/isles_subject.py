# SPDX-License-Identifier: Apache-2.0
"""A digital DSC patient laid out as the published program expects it: flat files in ``training_<N>``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from PerfusionSuiteLib import phantom

INTERVAL_S = 1.5


def patient() -> tuple[Any, Any]:
    """Return a small still patient with a stroke."""
    return phantom.dsc(
        seed=7,
        recipe="clean",
        site="m1",
        shape=(56, 56, 4),
        spacing_mm=(3.6, 3.6, 14.0),
        interval_s=INTERVAL_S,
        frames=36,
        motion="none",
    )


def structures(truth: Any) -> np.ndarray:
    """Return labels as SynthSeg numbers them, both sides told apart."""
    kinds = np.stack([truth.fractions[name] for name in ("gm", "wm", "deep", "csf")], axis=-1)
    left = np.indices(kinds.shape[:3])[0] >= kinds.shape[0] // 2
    labels = np.where(left, np.array([3, 2, 10, 4])[kinds.argmax(-1)], np.array([42, 41, 49, 43])[kinds.argmax(-1)])
    labels[(kinds.max(-1) < 0.3) | ~(truth.masks["brain"] | truth.masks["csf"])] = 0
    i, j, k = np.indices(labels.shape)
    labels[(k == 0) & (np.hypot(i - 28, j - 26) < 9) & (labels > 0)] = 16
    return labels.astype(np.int16)


def write(folder: Path, series: Any, truth: Any, *, five_axes: bool = False, without: tuple[str, ...] = ()) -> Path:
    """Write a subject's files except those of `without`."""
    (folder / "synthseg").mkdir(parents=True)
    raw = np.rint(series.data).astype(np.int16)
    files = {
        "MR_4DPWI.nii": raw[..., None, :] if five_axes else raw,
        "MR_ADC.nii": truth.maps["adc"],
        "MR_rCBF.nii.gz": truth.maps["cbf"],
        "MR_rCBV.nii.gz": truth.maps["cbv"],
        "MR_MTT.nii.gz": truth.maps["mtt"],
        "synthseg/seg_synthseg.nii.gz": structures(truth),
    }
    for name, values in files.items():
        if name.split(".")[0] not in without:
            save(folder / name, np.nan_to_num(values), series.affine)
    return folder


def save(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    """Write a volume with nibabel, whose headers the published program sees."""
    image = nibabel.Nifti1Image(values, affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 2)
    nibabel.save(image, path)
    return path
