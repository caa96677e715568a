# SPDX-License-Identifier: Apache-2.0
"""Cases for a network of the infarct core: digital patients by seed, or a user's own finished maps with drawn infarcts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from .. import lesion, results
from ..core.errors import InvalidInputError
from ..core.progress import ProgressCallback
from .core_cases import SUFFIX, CoreCase, case_of, simulated_case

INFARCT = "infarct.nii.gz"
"""Mask of the infarct (from diffusion or follow-up, say) beside the maps of an own case, on their grid."""

Source = int | Path


def folders_of_cases(folder: Path) -> list[Path]:
    """Return the cases of a folder, in the order of their names.

    Parameters
    ----------
    folder : Path
        Each sub-folder holds finished maps, as ``run`` writes them, and `INFARCT`; prepared cases count, too.

    Returns
    -------
    list of Path
        Each one case.

    Raises
    ------
    InvalidInputError
        If there are none.
    """
    found = []
    if folder.is_dir():
        found = sorted(path for path in folder.iterdir() if (path / INFARCT).is_file() or path.name.endswith(SUFFIX))
    if not found:
        msg = (
            f"'{folder}' holds no cases. Put finished maps, as 'run' writes them, and the infarct on their grid as {INFARCT} "
            "into a sub-folder for each case."
        )
        raise InvalidInputError(msg)
    return found


def own_case(folder: Path, name: str) -> CoreCase:
    """Read a user's case.

    Parameters
    ----------
    folder : Path
        Finished maps with `INFARCT`.
    name : str
        What the case is called from now on: its folder may be called after a patient.

    Returns
    -------
    CoreCase
        Every voxel of tissue is scored.

    Raises
    ------
    InvalidInputError
        If maps are missing or cannot be read.
    GridMismatchError
        If the infarct lies on another grid.
    """
    read = results.read_finished_maps(folder)
    core = results.read_on_grid(folder / INFARCT, "infarct", read.maps.shape, read.maps.affine) > 0
    maps, lesions = lesion.segment(read.maps, masks=read.masks, method=read.method or None)
    return case_of(name, maps, lesions, core, lesions.tissue, {"method": read.method, "modality": read.modality})


def prepared_cases(
    cache: Path,
    sources: Sequence[Source],
    told: Callable[[str], None],
    *,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> list[CoreCase]:
    """Return cases, from disk when they were prepared before.

    Parameters
    ----------
    cache : Path
        Folder for prepared cases.
    sources : sequence of int or Path
        Seeds of digital patients, or folders of own cases.
    told : callable
        Takes a sentence for each that cannot be used.
    workers : int
        Processes; a digital patient takes about 40 s of a core.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    list of CoreCase
        Those that can be used.

    Raises
    ------
    InvalidInputError
        If none can.
    """
    places = [_place(cache, number, source) for number, source in enumerate(sources)]
    missing = [(source, place) for source, place in zip(sources, places, strict=True) if not place.is_file()]
    for done, (place, error) in enumerate(_prepared(missing, workers)):
        if progress is not None:
            progress((done + 1) / len(missing), f"Case {done + 1} of {len(missing)}")
        if error is not None:
            told(f"{place.name.removesuffix(SUFFIX)} is left out: {error}")
    good = [CoreCase.load(place) for place in places if place.is_file()]
    if not good:
        msg = "None of the cases can be used. See the messages above."
        raise InvalidInputError(msg)
    return good


def _prepared(missing: Sequence[tuple[Source, Path]], workers: int) -> Iterator[tuple[Path, InvalidInputError | None]]:
    """Prepare cases, here or in processes, and say for each whether it could be used."""
    if workers < 2:
        for source, place in missing:
            yield place, _prepare(source, place)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(_prepare, source, place): place for source, place in missing}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _place(cache: Path, number: int, source: Source) -> Path:
    if isinstance(source, Path) and source.name.endswith(SUFFIX):
        return source
    name = f"simulated-{source:04d}" if isinstance(source, int) else f"case-{number + 1:03d}"
    return cache / f"{name}{SUFFIX}"


def _prepare(source: Source, place: Path) -> InvalidInputError | None:
    name = place.name.removesuffix(SUFFIX)
    try:
        case = simulated_case(source) if isinstance(source, int) else own_case(source, name)
    except InvalidInputError as error:
        return error
    place.parent.mkdir(parents=True, exist_ok=True)
    case.save(place)
    return None
