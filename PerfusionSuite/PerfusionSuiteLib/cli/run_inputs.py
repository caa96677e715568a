# SPDX-License-Identifier: Apache-2.0
"""Curves, masks, maps and echoes that a user gives to ``run``, read and brought to the grid and times of the scan."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import input_function, pipeline, results, series
from ..core import InputFunction, InvalidInputError, PerfusionSeries
from ..core.positive_on_grid import positive_on_grid
from ..hemopic import tissue_labels
from .lesion_options import given_by_user


def selection(text: str | None) -> int | str | None:
    """Return which series a word of the command line means.

    Parameters
    ----------
    text : str or None
        A number, or a SeriesInstanceUID.

    Returns
    -------
    int, str or None
        For `series.read`.
    """
    return int(text) if text is not None and text.isdigit() else text


def user_inputs(
    options: argparse.Namespace, scan: PerfusionSeries, later: pipeline.LaterScan | None = None
) -> pipeline.UserInputs:
    """Read the curves and masks that the user gave.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.
    scan : PerfusionSeries
        The scan whose grid and times they must fit.
    later : LaterScan, optional
        The follow-up.

    Returns
    -------
    UserInputs
        What was given.
    """
    brain = options.brain_mask
    return pipeline.UserInputs(
        aif=_curve(options.aif, scan, "aif"),
        vof=_curve(options.vof, scan, "vof"),
        aif_points=options.aif_at,
        vof_points=options.vof_at,
        brain_mask=None if brain is None else results.read_mask_on_grid(brain, "brain mask", scan.shape, scan.affine),
        adc=_diffusion(options.adc, scan),
        second_echo=_second_echo(options, scan),
        follow_up=later,
        tissue_labels=_tissue(options.tissue_labels, scan),
        **given_by_user(options, scan.shape, scan.affine),
    )


def _curve(path: Path | None, scan: PerfusionSeries, kind: str) -> InputFunction | None:
    return None if path is None else input_function.from_csv(path, scan.times_s, kind=kind)


def _diffusion(path: Path | None, scan: PerfusionSeries) -> NDArray[np.float32] | None:
    """Read an ADC map and bring it to the grid of the scan by the positions that both files state."""
    if path is None:
        return None
    return positive_on_grid(*results.read_volume(path), scan.shape, scan.affine)


def _tissue(path: Path | None, scan: PerfusionSeries) -> NDArray[np.int32] | None:
    """Read tissue labels and bring them to the grid of the scan by the positions that both files state."""
    if path is None:
        return None
    values, affine = results.read_volume(path)
    whole: NDArray[Any] = tissue_labels.whole_numbers(values)
    labels = tissue_labels.resample_nearest(whole, affine, scan.shape, scan.affine)
    if not labels.any():
        msg = f"The tissue labels '{path.name}' hold nothing where the scan lies. Give labels of this patient."
        raise InvalidInputError(msg)
    return labels.astype(np.int32)


def _second_echo(options: argparse.Namespace, scan: PerfusionSeries) -> PerfusionSeries | None:
    if options.second_echo is None:
        return None
    chosen = selection(options.second_echo)
    place, select = (options.input, chosen) if isinstance(chosen, int) else (Path(options.second_echo), None)
    echo = series.read(place, modality=scan.modality, interval_s=options.interval, select=select, case_id=options.case_id)
    return series.with_bolus(echo)
