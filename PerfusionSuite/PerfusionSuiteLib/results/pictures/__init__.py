# SPDX-License-Identifier: Apache-2.0
"""Pictures for reading a study and for judging its quality, in radiological convention."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...core.memory import give_back_freed
from ...core.progress import ProgressCallback, no_progress
from ...core.values import Study
from ..layout import PICTURES, Layout
from ..map_study import AnyStudy
from .canvas import save
from .content import Scene, scene_of
from .curves import draw_aif_vof
from .montage import draw_maps_montage
from .motion import draw_motion
from .projections import FOLLOW_UP_COLORS, draw_core_penumbra_mip, draw_follow_up, draw_tmax_mip
from .regions import draw_regions, has_regions
from .venous import draw_venous_transit, has_sinuses

__all__ = ["draw", "write_pictures"]


_DRAWN: Mapping[str, Callable[[Scene], Any]] = {
    "tmax_mip": draw_tmax_mip,
    "core_penumbra_mip": draw_core_penumbra_mip,
    "maps_montage": draw_maps_montage,
    "venous_transit": draw_venous_transit,
    "follow_up": draw_follow_up,
    "regions": draw_regions,
}


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
        return draw_motion(scene.study.motion if isinstance(scene.study, Study) else None)
    return _DRAWN[name](scene)


def write_pictures(study: AnyStudy, folder: Path, layout: Layout, progress: ProgressCallback = no_progress) -> dict[str, Path]:
    """Draw and write all pictures.

    Parameters
    ----------
    study : Study or MapStudy
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
    for at, name in enumerate(wanted := _pictures_of(study)):
        progress(at / len(wanted), "Pictures")
        files[name] = save(draw(scene, name), folder / layout.picture(name))
        gc.collect()  # parts of a figure refer to each other, and their images would stay until Python looks for such circles
        give_back_freed()
    return files


def _pictures_of(study: AnyStudy) -> list[str]:
    """Pictures that there is something to show for."""
    left_out = set() if isinstance(study, Study) else {"motion"}
    left_out |= {"aif_vof"} if study.aif is None else set()
    left_out |= set() if has_regions(study) else {"regions"}
    left_out |= set() if has_sinuses(study) else {"venous_transit"}
    left_out |= set() if set(FOLLOW_UP_COLORS) <= set(study.lesions.extra) else {"follow_up"}
    return [name for name in PICTURES if name not in left_out]
