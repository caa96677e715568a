# SPDX-License-Identifier: Apache-2.0
"""Make maps of a phantom by any method, and measure what that takes."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import deconvolution, fitting, prepare
from ..core.choosing import method_options
from ..core.errors import InvalidInputError
from ..core.progress import ProgressCallback, no_progress, part_of
from ..fitting.registry import METHODS as MODELS
from .neural_scan import FieldScan

GUIDED = ":guided"
MAPS = ("cbf", "cbv", "mtt", "delay", "tmax")
SPREADS = tuple(f"{key}_sd" for key in MAPS)


@dataclass(frozen=True, slots=True)
class Estimator:
    """A method with everything that is set about it.

    Parameters
    ----------
    name : str
        What tables call it.
    method : str
        A deconvolution or fitting method.
    noise_reduction : str
        A name of `prepare.NOISE_METHODS`, or ``auto``: none for methods that look at neighbors, otherwise similarity.
    noise_options, options : mapping
        Of the noise reduction and of the method.
    guided : bool
        Whether the method sees the static CT image.
    """

    name: str
    method: str
    noise_reduction: str = "auto"
    noise_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    guided: bool = False

    def __post_init__(self) -> None:
        if self.method not in known_methods():
            msg = f"There is no method '{self.method}'. Choose one of: {', '.join(known_methods())}."
            raise InvalidInputError(msg)

    @property
    def on_grid(self) -> bool:
        """Whether the method looks at neighbors."""
        return self.method in MODELS and MODELS[self.method].on_grid


@dataclass(frozen=True, slots=True)
class Estimate:
    """Maps and what they took.

    Parameters
    ----------
    maps : mapping of str to ndarray, shape (I, J, K)
        NaN where not computed.
    seconds : float, s
        Noise reduction included.
    memory_mib : float, MiB
        Largest growth of the process's memory, NaN where it cannot be measured.
    """

    maps: Mapping[str, NDArray[np.float32]]
    seconds: float
    memory_mib: float


def known_methods() -> tuple[str, ...]:
    """List the methods that make maps of a CT scan.

    Returns
    -------
    tuple of str
        Deconvolution first.
    """
    return (*deconvolution.METHODS, *MODELS)


def estimator(words: str) -> Estimator:
    """Read a method as users name it.

    Parameters
    ----------
    words : str
        A method's name, with options that differ from the defaults in braces, as in ``resppinn{steps=500,preset=product}``;
        with ``:guided`` it sees the static CT image.

    Returns
    -------
    Estimator
        Otherwise with the defaults of the product.

    Raises
    ------
    InvalidInputError
        If there is no such method or option, or it cannot be guided.
    """
    parts = re.fullmatch(r"([^{}:]+)(?:\{(.*)\})?(:guided)?", words)
    if parts is None:
        msg = f"'{words}' names no method. Write NAME, NAME:guided or NAME{{option=value,option=value}}."
        raise InvalidInputError(msg)
    method, options, guided = parts.groups()
    found = Estimator(words, method, options=_options(options or ""), guided=guided is not None)
    if found.guided and not found.on_grid:
        msg = f"The method '{method}' does not look at neighbors, so that nothing can guide it. Leave out '{GUIDED}'."
        raise InvalidInputError(msg)
    table: Mapping[str, Any] = MODELS if method in MODELS else deconvolution.METHODS
    table[method].complete(found.options)  # a wrong option is told now, not after hours
    return found


def _options(words: str) -> dict[str, Any]:
    """Read ``key=value,key=value``; commas within brackets belong to a value."""
    return method_options(re.split(r",(?![^\[]*\])", words) if words else [])


def estimate(how: Estimator, scan: FieldScan, *, device: str = "auto", progress: ProgressCallback | None = None) -> Estimate:
    """Make maps.

    Parameters
    ----------
    how : Estimator
        The method.
    scan : FieldScan
        The phantom.
    device : str
        For methods that can use a GPU.
    progress : callable, optional
        Progress and cancelling.

    Returns
    -------
    Estimate
        Maps on the grid of the scan.

    Raises
    ------
    InvalidInputError
        If the method refuses data or options.
    """
    report = progress or no_progress
    with Meter() as meter:
        maps = _volume(how, scan, device, report) if how.on_grid else _curves(how, scan, device, report)
    return Estimate(maps, meter.seconds, meter.memory_mib)


def _noise_reduction(how: Estimator, scan: FieldScan) -> str:
    if scan.filtered:
        return "none"
    if how.noise_reduction != "auto":
        return how.noise_reduction
    return "none" if how.on_grid else "similarity"


def _filtered(how: Estimator, scan: FieldScan, progress: ProgressCallback) -> NDArray[np.float32]:
    method = _noise_reduction(how, scan)
    options = {} if method == "none" else how.noise_options
    return prepare.smoothed_curves(scan.concentration, method=method, progress=progress, **options)


def _curves(how: Estimator, scan: FieldScan, device: str, progress: ProgressCallback) -> dict[str, NDArray[np.float32]]:
    """Apply a method that looks at each curve by itself."""
    curves = _filtered(how, scan, part_of(progress, 0.0, 0.5))
    times, later = scan.concentration.times_s, part_of(progress, 0.5, 1.0)
    if how.method in deconvolution.METHODS:
        arrays = deconvolution.deconvolve(curves, scan.aif, times, method=how.method, progress=later, **how.options)
    else:
        arrays, _ = fitting.fit(
            curves, scan.aif, times, method=how.method, settings=dict(how.options), device=device, progress=later
        )
    mask = scan.concentration.mask
    maps = {}
    for key in (*MAPS, *SPREADS):
        if key in arrays:
            maps[key] = np.full(mask.shape, np.nan, np.float32)
            maps[key][mask] = arrays[key]
    return maps


def _volume(how: Estimator, scan: FieldScan, device: str, progress: ProgressCallback) -> dict[str, NDArray[np.float32]]:
    """Apply a method that looks at neighbors."""
    data = scan.concentration.data
    if _noise_reduction(how, scan) != "none":
        data = np.zeros_like(data)
        data[scan.concentration.mask] = _filtered(how, scan, part_of(progress, 0.0, 0.2))
    arrays, _ = fitting.fit(
        data, scan.aif, scan.concentration.times_s, method=how.method, mask=scan.concentration.mask,
        affine=scan.concentration.affine, settings=dict(how.options), device=device, progress=part_of(progress, 0.2, 1.0),
        guide=scan.guide if how.guided else None,
    )  # fmt: skip
    return {key: np.asarray(arrays[key], np.float32) for key in (*MAPS, *SPREADS) if key in arrays}


class Meter:
    """Measures seconds, and how far the memory of this process rises above where it was."""

    _STEP_S = 0.02
    _STATUS = Path("/proc/self/statm")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.memory_mib = float("nan")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._start = self._first = self._most = 0.0

    def __enter__(self) -> Meter:
        """Start."""
        self._first = self._most = self._now()
        self._thread.start()
        self._start = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self._start
        self._done.set()
        self._thread.join()
        self._most = max(self._most, self._now())
        if self._first:
            self.memory_mib = (self._most - self._first) / 2**20

    def _look(self) -> None:
        while not self._done.wait(self._STEP_S):
            self._most = max(self._most, self._now())

    def _now(self) -> float:
        if not sys.platform.startswith("linux"):
            return 0.0
        import resource

        return float(self._STATUS.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
