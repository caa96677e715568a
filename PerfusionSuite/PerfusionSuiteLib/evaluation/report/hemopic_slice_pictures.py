# SPDX-License-Identifier: Apache-2.0
"""Slice figures of fitted DSC patients: as measured, or with the published display steps and said so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import InvalidInputError
from ...core.files import write_json
from ...core.geometry import FloatArray
from ...core.nifti import read_header, read_volume
from ...core.quantities import QUANTITIES
from ...results.pictures.canvas import FAINT, FILM, INK, axes_at, color_bar, letters, new_figure, outline, save, show_image
from ...results.pictures.views import View, as_picture, picture_mm, position_words, view_of
from ..hemopic_case import CSF, Case, Definitions
from ..hemopic_folders import DATA, MODEL
from ..hemopic_slices import DisplaySlice, SliceChoices, published_slice
from .hemopic_pictures import source_words

_KEYS = ("cbf", "cbv", "mtt", "tmax")
_PANEL, _GAP, _LABEL, _HEAD, _FOOT, _BAR = 2.3, 0.06, 1.5, 0.95, 0.1, 0.75
_LESION = "white"
_DISPLAY_ONLY = "display only: altered pixels"


def write_slices(case: Case, folder: Path, definitions: Definitions, choices: SliceChoices, index: int | None) -> Path:
    """Write the slice figures of a patient.

    Parameters
    ----------
    case : Case
        The patient; lesion and maps of the fit are needed, published also the tissue labels.
    folder : Path
        Gets ``training_<N>_z<zzz>`` with ``lesion cbf cbv mtt`` (.png) and ``manifest.json``, corrected also ``panel.png``.
    definitions : {"corrected", "published"}
        Published: with the cosmetic steps of hemopic 6.5, labeled so. Corrected: what was measured.
    choices : SliceChoices
        Windows, and what the published steps do.
    index : int or None
        Slice, counted upwards from the lowest; by default the one with most lesion.

    Returns
    -------
    Path
        The folder of the slice.

    Raises
    ------
    InvalidInputError
        If something is missing or there is no such slice.
    """
    lesion = case.need_lesion()
    whole = view_of(np.zeros(case.shape, bool), case.affine)
    heights = whole.turn(lesion).sum(axis=(0, 1))
    z = int(heights.argmax()) if index is None else index
    if not 0 <= z < heights.size:
        msg = f"There is no slice {z} in patient {case.patient}; there are {heights.size}. Give 0 to {heights.size - 1}."
        raise InvalidInputError(msg)
    target = folder / f"{case.name}_z{z:03d}"
    write = _write_published if definitions == "published" else _write_measured
    facts = write(case, target, choices, whole, z)
    about = {
        "patient": case.patient,
        "slice": z,
        "definitions": definitions,
        "lesion_voxels_in_slice": int(heights[z]),
        "window_max": {"cbf": choices.cbf_max, "cbv": choices.cbv_max, "mtt": choices.mtt_max},
        "orientation": "radiological convention: the patient's right is on the left, anterior is up",
        **facts,
    }
    write_json(target / "manifest.json", about)
    return target


def _windows(choices: SliceChoices) -> dict[str, tuple[float, float]]:
    tops = {"cbf": choices.cbf_max, "cbv": choices.cbv_max, "mtt": choices.mtt_max}
    return {key: (0.0, tops[key]) if key in tops else QUANTITIES[key].display_range for key in _KEYS}


def _write_measured(case: Case, target: Path, choices: SliceChoices, whole: View, z: int) -> dict[str, Any]:
    view = view_of(case.brain, case.affine)
    at = z - view.box[2].start
    if not 0 <= at < view.box[2].stop - view.box[2].start:
        first, last = view.box[2].start, view.box[2].stop - 1
        msg = f"Slice {z} of patient {case.patient} lies outside of the brain. Choose {first} to {last}."
        raise InvalidInputError(msg)
    windows, columns = _windows(choices), [key for key in _KEYS if any(key in maps for maps in case.maps.values())]
    save(_panel(case, view, at, columns, windows), target / "panel.png")
    model = case.maps.get(MODEL, {})
    save(_single(case, view, at, "lesion", None, windows), target / "lesion.png")
    for key in ("cbf", "cbv", "mtt"):
        if key in model:
            save(_single(case, view, at, key, model[key], windows), target / f"{key}.png")
    return {"altered_pixels": 0, "position": position_words(view, at), "sources": list(case.maps)}


def _panel(case: Case, view: View, at: int, columns: list[str], windows: Mapping[str, tuple[float, float]]) -> Any:
    width_mm, height_mm = picture_mm(view, "axial")
    high = _PANEL * height_mm / width_mm
    sources = list(case.maps)
    full = _LABEL + (1 + len(columns)) * (_PANEL + _GAP) + 0.1
    figure = new_figure(full, _HEAD + len(sources) * (high + _GAP) + _FOOT + _BAR, FILM)
    height = figure.get_size_inches()[1]
    for row, source in enumerate(sources):
        top = _HEAD + row * (high + _GAP)
        place = axes_at(figure, _LABEL, top, _PANEL, high)
        _image(place, case, view, at, "lesion", None, windows)
        if row == 0:
            place.set_title("Lesion", color=INK, fontsize=10, pad=4)
        for column, key in enumerate(columns):
            place = axes_at(figure, _LABEL + (column + 1) * (_PANEL + _GAP), top, _PANEL, high)
            _image(place, case, view, at, key, case.values(source, key), windows)
            if row == 0:
                place.set_title(QUANTITIES[key].symbol, color=INK, fontsize=10, pad=4)
        words = source_words(source)
        figure.text(0.1 / full, 1.0 - (top + high / 2) / height, words, color=INK, fontsize=11, fontweight="bold", va="center")
    for column, key in enumerate(columns):
        left = _LABEL + (column + 1) * (_PANEL + _GAP) + 0.15
        _strip(axes_at(figure, left, height - _BAR + 0.12, _PANEL - 0.3, 0.13), key, case.unit(key), windows[key])
    title = f"Patient {case.patient}, slice {position_words(view, at)}"
    figure.text(0.1 / full, 1.0 - 0.25 / height, title, color=INK, fontsize=12, fontweight="bold", va="center")
    note = "Radiological convention. White outline: lesion. Values as computed; outside of the brain, and without a value: black."
    figure.text(0.1 / full, 1.0 - 0.5 / height, note, color=FAINT, fontsize=9, va="center")
    return figure


def _image(
    axes: Any, case: Case, view: View, at: int, key: str, values: FloatArray | None, windows: Mapping[str, tuple[float, float]]
) -> None:
    size = picture_mm(view, "axial")
    lesion = as_picture(view.turn(case.need_lesion())[:, :, at])
    if key == "lesion":
        background, limits = _background(case)
        show_image(axes, as_picture(view.turn(background)[:, :, at]), size, limits, "grey")
    elif values is None:
        axes.set_facecolor(FILM)
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no map", color=FAINT, fontsize=9, ha="center", va="center", transform=axes.transAxes)
        return
    else:
        shown = np.where(view.turn(case.brain)[:, :, at], view.turn(values)[:, :, at], np.nan)
        show_image(axes, as_picture(shown), size, windows[key], QUANTITIES[key].colormap)
    outline(axes, lesion, size, _LESION)
    letters(axes, "axial", 8.0)


def _background(case: Case) -> tuple[NDArray[Any], tuple[float, float]]:
    """What a lesion is shown on: the display image, else flow, within the brain."""
    image = case.display
    if image is None:
        image = next((maps["cbf"] for maps in case.maps.values() if "cbf" in maps), None)
    if image is None:
        return case.brain.astype(np.float32), (0.0, 2.0)
    inside = image[case.brain & np.isfinite(image)]
    top = float(np.percentile(inside, 99.5)) if inside.size else 1.0
    return np.where(case.brain, image, 0.0), (0.0, max(top, 1e-6))


def _strip(axes: Any, key: str, unit: str, window: tuple[float, float]) -> None:
    from ...results.pictures.canvas import map_colors

    quantity = QUANTITIES[key]
    low, high = window
    axes.imshow(np.linspace(low, high, 256)[None, :], cmap=map_colors(quantity.colormap), aspect="auto", extent=(low, high, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([low, high], [f"{low:g}", f"≥ {high:g}"])
    axes.tick_params(colors=INK, labelsize=8, length=2.0, pad=2)
    axes.set_xlabel(f"{quantity.symbol}, {unit}", color=INK, fontsize=8.5, labelpad=1)


def _single(
    case: Case, view: View, at: int, key: str, values: FloatArray | None, windows: Mapping[str, tuple[float, float]]
) -> Any:
    width_mm, height_mm = picture_mm(view, "axial")
    side, high = 4.2, 4.2 * height_mm / width_mm
    figure = new_figure(side + 1.35, high + 0.6, FILM)
    place = axes_at(figure, 0.1, 0.4, side, high)
    _image(place, case, view, at, key, values, windows)
    place.set_title("Lesion" if values is None else QUANTITIES[key].symbol, color=INK, fontsize=10, pad=4)
    if values is not None:
        bar = axes_at(figure, side + 0.3, 0.4 + 0.25 * high, 0.16, 0.5 * high)
        color_bar(bar, windows[key], QUANTITIES[key].colormap, case.unit(key))
    return figure


def _write_published(case: Case, target: Path, choices: SliceChoices, whole: View, z: int) -> dict[str, Any]:
    labels = whole.turn(case.need_labels())[:, :, z]
    model = case.maps.get(MODEL, {})
    if any(key not in model for key in ("cbf", "cbv", "mtt")):
        msg = f"Patient {case.patient} has not all of CBF, CBV and MTT, so the published slice figure cannot be made."
        raise InvalidInputError(msg)
    maps = {key: whole.turn(model[key])[:, :, z] for key in ("cbf", "cbv", "mtt")}
    curves, interval = _slice_curves(case, whole, z) if (labels == CSF).any() else (None, 1.0)
    supplied = case.values(DATA, "cbv")
    shown = published_slice(
        maps, labels, whole.turn(case.need_lesion())[:, :, z], choices, curves=curves,
        supplied_cbv=None if supplied is None else whole.turn(supplied)[:, :, z], interval_s=interval,
    )  # fmt: skip
    size = picture_mm(whole, "axial")
    _save_jet(target / "lesion.png", as_picture(_gray(case, whole, z)), size, None, "Lesion (gray)", "")
    tops = {"cbf": choices.cbf_max, "cbv": choices.cbv_max, "mtt": choices.mtt_max}
    for key, top in tops.items():
        _save_jet(target / f"{key}.png", as_picture(getattr(shown, key)), size, top, QUANTITIES[key].symbol, case.unit(key))
    return {"display_only": True, **_facts(shown, choices)}


def _facts(shown: DisplaySlice, choices: SliceChoices) -> dict[str, Any]:
    return {
        "altered_pixels": shown.replaced + shown.painted,
        "mtt_pixels_replaced_by_median": shown.replaced,
        "csf_pixels_painted": shown.painted,
        "hidden_brain_pixels": shown.hidden,
        "border_px": choices.border_px,
        "csf_depth_px": choices.csf_depth_px,
    }


def _slice_curves(case: Case, whole: View, z: int) -> tuple[FloatArray | None, float]:
    path = case.files.other.get("curves")
    if path is None:
        return None, 1.0
    series = np.squeeze(read_volume(path)[0])
    if series.ndim != 4 or series.shape[:3] != case.shape:
        return None, 1.0
    frames = [whole.turn(series[..., frame])[:, :, z] for frame in range(series.shape[3])]
    return np.stack(frames, axis=-1), read_header(path).interval_s or 1.0


def _gray(case: Case, whole: View, z: int) -> NDArray[Any]:
    background, limits = _background(case)
    shade = 0.55 * np.clip(whole.turn(background)[:, :, z] / limits[1], 0.0, 1.0)
    return np.where(whole.turn(case.need_lesion())[:, :, z], 1.0, shade)


def _save_jet(path: Path, picture: NDArray[Any], size: tuple[float, float], top: float | None, title: str, unit: str) -> None:
    import matplotlib as mpl

    width, height = size
    side, high = 4.2, 4.2 * height / width
    figure = new_figure(side + 1.35, high + 0.75, FILM)
    axes = axes_at(figure, 0.1, 0.4, side, high)
    axes.set_facecolor(FILM)
    colors = mpl.colormaps["gray" if top is None else "jet"].with_extremes(bad="black")
    image = axes.imshow(picture, cmap=colors, vmin=0.0, vmax=1.0 if top is None else top, extent=(0.0, width, height, 0.0))
    axes.set_axis_off()
    letters(axes, "axial", 8.0)
    axes.set_title(title, color=INK, fontsize=10, pad=4)
    full = figure.get_size_inches()[1]
    if top is not None:
        bar = axes_at(figure, side + 0.3, 0.4 + 0.25 * high, 0.16, 0.5 * high)
        figure.colorbar(image, cax=bar)
        bar.tick_params(colors=INK, labelsize=8)
        bar.set_title(unit, color=INK, fontsize=8.5, loc="left", pad=8)
        figure.text(0.02, 0.16 / full, f"As published, {_DISPLAY_ONLY}", color="#ffb3a7", fontsize=9, va="center")
    save(figure, path)
