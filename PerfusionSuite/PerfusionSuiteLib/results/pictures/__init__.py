# SPDX-License-Identifier: Apache-2.0
"""Pictures for reading a study and for judging its quality, in radiological convention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.progress import ProgressCallback, no_progress
from ...core.values import Study
from ..layout import PICTURES, Layout
from .canvas import save
from .content import Scene, scene_of
from .curves import draw_aif_vof
from .montage import draw_maps_montage
from .motion import draw_motion
from .projections import draw_core_penumbra_mip, draw_tmax_mip

__all__ = ["draw", "write_pictures"]


def draw(scene: Scene, name: str) -> Any:
    """Draw one picture.

    Parameters
    ----------
    scene : Scene
        The study, see `scene_of`.
    name : str
        One of ``layout.PICTURES``.

    Returns
    -------
    matplotlib.figure.Figure
        The picture.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    if name == "aif_vof":
        return draw_aif_vof(scene.study)
    if name == "motion":
        return draw_motion(scene.study.motion)
    return {"tmax_mip": draw_tmax_mip, "core_penumbra_mip": draw_core_penumbra_mip, "maps_montage": draw_maps_montage}[name](
        scene
    )


def write_pictures(study: Study, folder: Path, layout: Layout, progress: ProgressCallback = no_progress) -> dict[str, Path]:
    """Draw and write all pictures.

    Parameters
    ----------
    study : Study
        The study.
    folder : Path
        Root of the results.
    layout : Layout
        Names of the files.
    progress : callable
        Progress.

    Returns
    -------
    dict of str to Path
        Files by the name of the picture.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    scene = scene_of(study)
    files = {}
    for at, name in enumerate(PICTURES):
        progress(at / len(PICTURES), "Pictures")
        files[name] = save(draw(scene, name), folder / layout.picture(name))
    return files
