# SPDX-License-Identifier: Apache-2.0
"""The one place that joins the rooms: a series and settings go in, a `Study` comes out.

Panels, console and command line call `run`; nothing above this file knows how a map is computed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import __version__, deconvolution, fitting, input_function, lesion, prepare
from .core import (
    QUANTITIES,
    Concentration,
    InputFunction,
    InvalidInputError,
    MotionReport,
    PerfusionMap,
    PerfusionMaps,
    PerfusionSeries,
    ProgressCallback,
    Provenance,
    QualityFinding,
    Study,
    TissueMasks,
    part_of,
)
from .core.constants import BRAIN_DENSITY_G_PER_ML, HEMATOCRIT_FACTOR
from .core.geometry import BoolArray, FloatArray, check_same_grid
from .core.quantities import unit_of
from .core.series import check_enough_times

SOFTWARE = f"Perfusion Suite {__version__}"

GPU_METHODS: frozenset[str] = frozenset()
"""Methods that can use a GPU; the classical ones are memory-bound and gain nothing from it."""

DEFAULT_METHOD = "csvd"


@dataclass(frozen=True, slots=True)
class Settings:
    """Every choice of a run that is not data; the same words serve the JSON file of ``--config``.

    Parameters
    ----------
    method : str
        A name of `methods`.
    preset : str
        Threshold preset, see `lesion.PRESETS`.
    motion_correction : bool
        Estimate head motion and correct it when there is any.
    noise_reduction : str
        A name of `prepare.NOISE_METHODS`.
    aif_method : str
        How the artery is found: ``score``, ``cluster`` or ``hierarchical``.
    scale_aif : bool
        Scale the AIF to the venous area (partial-volume correction).
    density : float, g/mL
        Tissue density; 1 gives values per 100 mL.
    hematocrit_factor : float
        ``(1 - Hct_artery) / (1 - Hct_capillary)``.
    method_options, noise_options : mapping
        Passed on to the method and to the noise reduction.
    device : str
        ``auto``, ``cpu`` or ``cuda[:n]`` for the methods that can use a GPU.
    """

    method: str = DEFAULT_METHOD
    preset: str = "ct-perfusion-auto"
    motion_correction: bool = True
    noise_reduction: str = "similarity"
    aif_method: str = "score"
    scale_aif: bool = True
    density: float = BRAIN_DENSITY_G_PER_ML
    hematocrit_factor: float = HEMATOCRIT_FACTOR
    method_options: Mapping[str, Any] = field(default_factory=dict)
    noise_options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_types(self)
        for what, name, known in (
            ("method", self.method, methods()),
            ("preset", self.preset, lesion.PRESETS),
            ("noise reduction", self.noise_reduction, prepare.NOISE_METHODS),
            ("method for the arterial input", self.aif_method, input_function.METHODS),
        ):
            if name not in known:
                msg = f"There is no {what} '{name}'. Choose one of: {', '.join(known)}."
                raise InvalidInputError(msg)
        for what in ("density", "hematocrit_factor"):
            value = getattr(self, what)
            if not 0.1 < value < 10.0:
                msg = f"The setting {what} is {value!r}; a number between 0.1 and 10 is expected. Correct the settings."
                raise InvalidInputError(msg)
        methods()[self.method].complete(self.method_options)  # an unknown option is told now, not after minutes of work
        prepare.NOISE_METHODS[self.noise_reduction].check(self.noise_options)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            msg = f"There is no device '{self.device}'. Choose auto, cpu or cuda (cuda:1 for the second GPU)."
            raise InvalidInputError(msg)
        if self.device.startswith("cuda") and self.method not in GPU_METHODS:
            msg = f"The method '{self.method}' computes on the CPU only. Leave out the device, or choose auto or cpu."
            raise InvalidInputError(msg)

    @classmethod
    def from_json(cls, path: str | Path, **overrides: Any) -> Settings:
        """Read settings from a JSON file.

        Parameters
        ----------
        path : path-like
            A JSON object whose keys are fields of this class.
        **overrides
            Fields that win over the file.

        Returns
        -------
        Settings
            The checked settings.

        Raises
        ------
        InvalidInputError
            If the file cannot be read or names an unknown setting.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f'The settings file \'{path}\' cannot be read ({error}). Give a JSON file such as {{"method": "osvd"}}.'
            raise InvalidInputError(msg) from error
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known) if isinstance(values, dict) else ["(not a JSON object)"]
        if unknown:
            msg = f"The settings file '{path}' has unknown entries: {', '.join(unknown)}. Known ones: {', '.join(sorted(known))}."
            raise InvalidInputError(msg)
        return cls(**{**values, **overrides})


_EXPECTED: Mapping[str, tuple[Any, str]] = {
    "str": (str, "a text"),
    "bool": (bool, "true or false"),
    "float": (int | float, "a number"),
    "Mapping[str, Any]": (Mapping, 'an object such as {"oi_max": 0.1}'),
}


def _check_types(settings: Settings) -> None:
    """Refuse a value of another type, which a JSON file can hold: the text "no" would count as true."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        kind, words = _EXPECTED[str(item.type)]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            msg = f"The setting {item.name} is {value!r}; {words} is expected. Correct the settings."
            raise InvalidInputError(msg)


@dataclass(frozen=True, slots=True)
class UserInputs:
    """What a user may give instead of the automatic choice, all on the grid of the scan.

    Parameters
    ----------
    aif, vof : InputFunction, optional
        Curves from a file, a click or a mask.
    brain_mask, roi_mask, contra_mask : ndarray of bool, shape (I, J, K), optional
        Brain; cortical region on the lesion side; cortical region on the other side.
    """

    aif: InputFunction | None = None
    vof: InputFunction | None = None
    brain_mask: BoolArray | None = None
    roi_mask: BoolArray | None = None
    contra_mask: BoolArray | None = None


def methods() -> dict[str, Any]:
    """List the methods that make maps.

    Returns
    -------
    dict
        Registry entries by name, deconvolution first.
    """
    return {**deconvolution.METHODS, **fitting.METHODS}


class _Clock:
    """Collects how long each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)


def run(
    series: PerfusionSeries,
    settings: Settings | None = None,
    *,
    inputs: UserInputs | None = None,
    progress: ProgressCallback | None = None,
    overwrite_series: bool = False,
    keep_series: bool = True,
) -> Study:
    """Turn a perfusion series into maps, lesions and metrics.

    Parameters
    ----------
    series : PerfusionSeries
        A CT perfusion scan.
    settings : Settings, optional
        Choices; the defaults are the recommended ones.
    inputs : UserInputs, optional
        Curves and masks that replace automatic ones.
    progress : callable, optional
        Called between chunks of work; may raise `CancelledError`.
    overwrite_series : bool
        Allow that the values of the given series are lost, which saves its size in memory.
    keep_series : bool
        Keep the values of the prepared series in the study, for a scene; without them the study takes half the memory.

    Returns
    -------
    Study
        Everything that was found, with all quality findings.

    Raises
    ------
    InvalidInputError
        If the series or an input cannot be used.
    """
    settings, inputs = settings or Settings(), inputs or UserInputs()
    if series.modality != "ctp":
        msg = (
            f"This chain analyses CT perfusion, but the series is of modality '{series.modality}'. Choose a CT perfusion series."
        )
        raise InvalidInputError(msg)
    check_enough_times(series.times_s)
    clock = _Clock()
    given = series.data
    series, motion = _still_series(series, settings, overwrite_series, clock, part_of(progress, 0.0, 0.42))
    free = not keep_series and (overwrite_series or series.data is not given)
    del given
    masks, concentration = _concentration(series, inputs, free, clock, part_of(progress, 0.42, 0.55))
    if not keep_series:
        series = series.released()
    aif, vof = _curves(concentration, masks, settings, inputs, clock, part_of(progress, 0.55, 0.62))
    maps = _maps(concentration, masks, aif, settings, clock, part_of(progress, 0.62, 0.95))
    with clock.step("lesion"):
        maps, lesions = lesion.segment(
            maps,
            masks=masks,
            preset=settings.preset,
            roi_mask=inputs.roi_mask,
            contra_mask=inputs.contra_mask,
            baseline=concentration.baseline,
            method=settings.method,
            vof=vof,
        )
    findings = _all_findings(series, motion, masks, concentration, aif, vof, lesions)
    settings_used = asdict(settings)
    metrics = lesion.metrics(
        maps,
        lesions,
        aif=aif,
        vof=vof,
        case_id=series.source.case_id,
        acquisition=_acquisition_facts(series),
        software=SOFTWARE,
        settings=settings_used,
        findings=findings,
    )
    if progress is not None:
        progress(1.0, "Done")
    return Study(
        series, masks, concentration, aif, vof, maps, lesions, metrics, motion, settings_used, findings, clock.seconds
    )  # fmt: skip


def _still_series(
    series: PerfusionSeries, settings: Settings, overwrite: bool, clock: _Clock, progress: ProgressCallback
) -> tuple[PerfusionSeries, MotionReport | None]:
    """Bring all slices to common times and the head to one place."""
    with clock.step("timing"):
        progress(0.0, "Frame times")
        common = prepare.common_times(series)
        overwrite, series = overwrite or common is not series, common
    if not settings.motion_correction:
        return series, None
    with clock.step("motion"):
        return prepare.correct_motion(series, overwrite=overwrite, progress=progress)


def _concentration(
    series: PerfusionSeries, inputs: UserInputs, overwrite: bool, clock: _Clock, progress: ProgressCallback
) -> tuple[TissueMasks, Concentration]:
    """Find the brain and turn HU into enhancement on a uniform time grid."""
    for name in ("brain_mask", "roi_mask", "contra_mask"):
        mask = getattr(inputs, name)
        if mask is not None:
            check_same_grid(f"The {name.replace('_', ' ')}", mask.shape, series.affine, series.shape, series.affine)
    with clock.step("masks"):
        progress(0.0, "Brain mask")
        masks = prepare.tissue_masks(series, brain=inputs.brain_mask)
    for name in ("roi_mask", "contra_mask"):
        mask = getattr(inputs, name)
        if mask is not None and not (mask & masks.tissue).any():
            words = {"roi_mask": "region", "contra_mask": "contralateral"}[name]
            msg = f"The {words} mask ({int(mask.sum())} voxels) contains no brain tissue. Draw it on tissue."
            raise InvalidInputError(msg)
    with clock.step("concentration"):
        progress(0.5, "Enhancement")
        concentration = prepare.regular_times(prepare.ct_concentration(series, masks, overwrite=overwrite))
    return masks, concentration


def _curves(
    concentration: Concentration,
    masks: TissueMasks,
    settings: Settings,
    inputs: UserInputs,
    clock: _Clock,
    progress: ProgressCallback,
) -> tuple[InputFunction, InputFunction | None]:
    """Choose AIF and VOF and scale the artery for partial volume."""
    c = concentration
    with clock.step("input_function"):
        progress(0.0, "Arterial input function")
        aif = inputs.aif or input_function.select_aif(
            c.data, c.times_s, mask=c.mask, affine=c.affine, baseline=c.baseline, exclude=masks.bone, method=settings.aif_method
        )
        progress(0.6, "Venous output function")
        vof = inputs.vof or input_function.select_vof(
            c.data, c.times_s, mask=c.mask, affine=c.affine, aif=aif, baseline=c.baseline
        )
        if settings.scale_aif and inputs.aif is None:
            aif = input_function.scale_to_vof(aif, vof)
    return aif, vof


def _maps(
    concentration: Concentration,
    masks: TissueMasks,
    aif: InputFunction,
    settings: Settings,
    clock: _Clock,
    progress: ProgressCallback,
) -> PerfusionMaps:
    """Reduce noise and compute all maps."""
    times = concentration.times_s
    provenance = Provenance(settings.method, {**asdict(settings), "interval_s": float(np.median(np.diff(times)))}, SOFTWARE)
    with clock.step("noise"):
        curves = prepare.smoothed_curves(
            concentration,
            method=settings.noise_reduction,
            exclude=masks.csf | masks.vessel | masks.bone,
            progress=part_of(progress, 0.0, 0.5),
            **settings.noise_options,
        )
    with clock.step("maps"):
        arrays = _curve_by_curve(curves, times, aif, settings, part_of(progress, 0.5, 1.0))
    quality = arrays.pop("quality", None)
    mask = concentration.mask
    known = {key: _on_grid(values, mask) for key, values in arrays.items() if key in QUANTITIES}
    maps = PerfusionMaps.from_arrays(
        known,
        concentration.affine,
        provenance=provenance,
        units={key: unit_of(key, settings.density) for key in known},
        quality=None if quality is None else _on_grid(quality, mask, deconvolution.QualityCode.OUTSIDE_MASK),
    )
    return maps.added(*_curve_maps(concentration, curves, provenance))


def _curve_by_curve(
    curves: NDArray[np.float32], times_s: FloatArray, aif: InputFunction, settings: Settings, progress: ProgressCallback
) -> dict[str, NDArray[Any]]:
    """Apply a method that looks at each curve by itself; one value per curve."""
    common: dict[str, Any] = {
        "method": settings.method,
        "density": settings.density,
        "hematocrit_factor": settings.hematocrit_factor,
        "progress": progress,
    }
    if settings.method in deconvolution.METHODS:
        return deconvolution.deconvolve(curves, aif.values, times_s, **common, **settings.method_options)
    arrays, _ = fitting.fit(curves, aif.values, times_s, settings=dict(settings.method_options), device=settings.device, **common)
    return arrays


def _on_grid(values: NDArray[Any], mask: BoolArray, empty: float = np.nan) -> NDArray[Any]:
    """Put values of the voxels of a mask into a volume."""
    volume = np.full(mask.shape, empty, values.dtype)
    volume[mask] = values
    return volume


def _curve_maps(raw: Concentration, curves: NDArray[np.float32], provenance: Provenance) -> list[PerfusionMap]:
    """Maps read off the curves themselves: time to peak, temporal maximum and baseline."""
    peak_at, maximum = np.empty(curves.shape[0], np.float32), np.empty(curves.shape[0], np.float32)
    kernel = np.array([0.25, 0.5, 0.25], np.float32)
    for start in range(0, curves.shape[0], 16384):  # in parts, which keeps the working copies small
        here = slice(start, start + 16384)
        padded = np.pad(curves[here], ((0, 0), (1, 1)), mode="edge")
        filtered = kernel[0] * padded[:, :-2] + kernel[1] * padded[:, 1:-1] + kernel[2] * padded[:, 2:]
        peak_at[here] = raw.times_s[filtered.argmax(axis=1)]
        maximum[here] = filtered.max(axis=1)
    values = {
        "ttp": _on_grid(peak_at, raw.mask),
        "mip": raw.baseline + _on_grid(maximum, raw.mask, 0.0),
        "mean": raw.baseline + raw.data.mean(axis=3),
        "baseline": raw.baseline,
    }
    return [PerfusionMap(v, raw.affine, QUANTITIES[key], None, provenance) for key, v in values.items()]


def _acquisition_facts(series: PerfusionSeries) -> dict[str, Any]:
    """What ``metrics.json`` says of the acquisition."""
    return {
        "modality": series.modality,
        "frames": int(series.times_s.size),
        "interval_s": round(series.interval_s, 4),
        "duration_s": round(float(series.times_s[-1] - series.times_s[0]), 3),
        "time_source": series.acquisition.time_source,
        "shuttle": series.acquisition.shuttle,
        "voxel_mm": [round(v, 4) for v in series.voxel_mm],
        "matrix": list(series.shape),
        "manufacturer": series.acquisition.manufacturer,
    }


def _all_findings(series: PerfusionSeries, *parts: Any) -> tuple[QualityFinding, ...]:
    """All findings in the order of the chain; of several with one code (a fact that two rooms noticed) the gravest."""
    found = list(series.source.findings)
    for part in parts:
        found.extend(part.findings if part is not None else ())
    gravity = ("info", "warning", "error")
    kept: dict[str, QualityFinding] = {}
    for finding in found:
        earlier = kept.get(finding.code)
        if earlier is None or gravity.index(finding.severity) > gravity.index(earlier.severity):
            kept[finding.code] = finding
    return tuple(kept.values())
