# SPDX-License-Identifier: Apache-2.0
"""The writer of scenes and pictures that the command line finds by the entry point ``perfusion_suite.writers``."""

from __future__ import annotations

from pathlib import Path

from PerfusionSuiteLib.core import AslStudy, ProgressCallback, Study, part_of
from PerfusionSuiteLib.core.files import staged_folder

from ..headless.GraphicsCheck import canDraw
from ..headless.Runtime import freshScene
from .AslPictures import aslPictures
from .SceneFiles import writeBundle
from .StudyPictures import writePictures
from .StudyScene import studyToScene


def writeScene(
    study: Study | AslStudy,
    out: Path,
    progress: ProgressCallback | None = None,
    *,
    includeSeries: bool = True,
    name: str | None = None,
) -> list[Path]:
    """Write ``OUT/scene.mrb`` and pictures of Slicer's own slice views and charts, ``OUT/qa/slicer_*.png``.

    The scene that the user may have open is left alone. Files appear in `out` together, after all of them were
    written; a failed run leaves what was there before. On a machine that cannot draw, there are no pictures.

    Parameters
    ----------
    study : Study or AslStudy
        What to write.
    out : path-like
        Folder of the results.
    progress : callable, optional
        Told about progress; may raise CancelledError.
    includeSeries : bool
        Also put the prepared 4D series into the scene, by far its largest part.
    name : str, optional
        Name of folder and nodes, by default the name of the case.

    Returns
    -------
    list of Path
        The files, the scene first.
    """
    out = Path(out)
    with staged_folder(out) as staging, freshScene() as runtime:
        nodes = studyToScene(runtime.scene, study, name, includeSeries=includeSeries, progress=part_of(progress, 0.0, 0.2))
        part_of(progress, 0.2, 0.6)(0.0, "scene file")
        files = [writeBundle(runtime.scene, staging / "scene.mrb")]
        if canDraw():
            pictures = aslPictures if isinstance(study, AslStudy) else None
            report = part_of(progress, 0.6, 1.0)
            files += writePictures(runtime, study, nodes, staging / "qa", report, pictures=pictures)
        return [out / file.relative_to(staging) for file in files]
