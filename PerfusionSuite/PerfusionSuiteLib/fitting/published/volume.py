# SPDX-License-Identifier: Apache-2.0
"""ReSPPINN: one set of networks over a hash encoding for the whole volume, from random weights or from a learned start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.fields import FittedField
from ...core.geometry import FloatArray
from ...core.progress import part_of
from ..checkpoint import Checkpoint, request_fingerprint
from ..devices import choose_device, with_fallback
from ..request import FitRequest, Fitted
from ..start_file import Start, load_start
from .artery import fit_artery
from .batches import Draws
from .choices import (
    RESPPINN_COMMON,
    RESPPINN_PRESETS,
    STEPS_LEARNED_START,
    STEPS_RANDOM_START,
    check_choices,
    filled,
)
from .fields import Fields, hash_fields
from .loop import Loop
from .losses import Losses
from .maps import limited, parameters_of, quality_map, spread_maps
from .raster import Raster, finite_rows, scan_curves, scan_raster, standard_raster
from .running import Runner
from .sampling import aif_at, learned_settings, parameters_at, volume_positions
from .scan import NormalizedScan, normalized, volume_scale
from .schedule import one_cycle, share_done
from .seeds import seeded

METHOD = "resppinn"

ENOUGH_STEPS = 4000
"""Where a warning ends. With the published rates Tmax > 6 s had a Dice of 0.65 after so many steps, and of 0.00 after 500, in a
digital patient with a large lesion; with the product's rates, in another, 0.57 after 500 and 0.73 after 2000 (best threshold)."""

PUBLISHED_TRAINING = 7500 * 500
"""Steps of the training of a start that makes 500 steps of a fit enough."""

SHAPING = ("levels", "features", "log2_table", "base", "finest", "hidden", "width_tac", "width_aif", "width_ode", "omega",
           "omega_aif", "scaling")  # fmt: skip
"""Settings that weights depend on."""


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the preset's values, checked.

    Parameters
    ----------
    settings : mapping
        Of a request.

    Returns
    -------
    dict
        Nothing that a fit needs is None.
    """
    preset = settings["preset"] if settings["preset"] in RESPPINN_PRESETS else "product"
    start = settings["start"] is not None
    steps = {"steps": STEPS_LEARNED_START if start else STEPS_RANDOM_START}
    full = filled(settings, RESPPINN_PRESETS[preset], RESPPINN_COMMON, steps)
    check_choices(full)
    return full


@dataclass(frozen=True, slots=True)
class VolumeFit:
    """One volume ready for training.

    Parameters
    ----------
    settings : dict
        From `complete`.
    raster : Raster
        Whose coordinates it uses.
    scan : NormalizedScan
        On the CPU.
    scale : ndarray, shape (3,)
        Factors from voxel coordinates to positions.
    """

    settings: dict[str, Any]
    raster: Raster
    scan: NormalizedScan
    scale: FloatArray

    @classmethod
    def of(cls, settings: dict[str, Any], raster: Raster, curves: NDArray[np.float32], times_s: Any, aif: Any) -> VolumeFit:
        """Scale curves (they are overwritten) for training."""
        scale = volume_scale(raster.shape, raster.affine, settings["scaling"])
        positions = volume_positions(raster.points, raster.shape, scale).numpy()
        return cls(settings, raster, normalized(curves, positions, times_s, aif, settings["baseline_frames"]), scale)

    def fresh_fields(self, start: Mapping[str, NDArray[Any]] | None) -> Fields:
        """Return networks with seeded random weights, or those of a start."""
        fields = hash_fields(self.settings, seeded(self.settings["seed"]))
        if start is not None:
            fields.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in start.items()}, strict=False)
        return fields

    def loop(self, fields: Fields, device: torch.device, batch: int, seed: int | None = None) -> Loop:
        """Return the loop that trains networks, on a device."""
        settings, scan = self.settings, self.scan.to(device)
        generator = seeded(settings["seed"] if seed is None else seed, device)
        draws = Draws(
            scan, batch=batch, batch_of=settings["batch_of"], by_epoch=False, artery_at_batch=False, generator=generator
        )  # fmt: skip
        losses = Losses(
            scan.times, scan.aif, scan.clockwork.time_sd_s, settings["norm"], settings["derivative"], settings["encodings"],
            settings["data_weight"], settings["residual_weight"],
        )  # fmt: skip
        rate, warm_up = float(settings["rate"]), settings["warm_up"]
        return Loop(
            fields.to(device),
            draws,
            losses,
            settings["steps"],
            lambda step, steps: one_cycle(share_done(step, steps), rate, warm_up),
            settings["table_rate"] / rate,
        )


def learned(fields: Fields) -> dict[str, NDArray[np.float32]]:
    """Return the weights of networks by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in fields.named_parameters()}


def fit(request: FitRequest) -> Fitted:
    """Fit ReSPPINN.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid, affine and settings (see `choices.RESPPINN`).

    Returns
    -------
    Fitted
        Maps and a field of kind ``hash``.
    """
    settings = complete(request.settings)
    device = choose_device(request.device)
    start = None if settings["start"] is None else load_start(settings["start"], METHOD)
    rows = finite_rows(request)
    raster = _raster(request, rows, settings, start)
    volume = VolumeFit.of(settings, raster, scan_curves(request, rows), request.problem.times_s, request.problem.aif)
    keeper = Checkpoint(request.watch.checkpoint, METHOD, request_fingerprint(METHOD, request, settings_used=settings))

    _tell_short(request, settings, start)

    def train(place: torch.device, batch: int) -> tuple[Loop, str]:
        kept = keeper.load()
        batch = batch if kept is None else int(kept[1]["batch"])
        fields = volume.fresh_fields(None if start is None else start.weights)
        if kept is None:
            fit_artery(fields, volume.scan, int(settings["artery_steps"]), settings["norm"])
        loop = volume.loop(fields, place, batch)
        if kept is not None:
            loop.restore(kept[0])

        def preview() -> dict[str, NDArray[np.float32]]:
            found = limited(parameters_of(loop.fields, volume.scan.positions), request.factor, settings["clip"])
            return spread_maps(request, rows, found)

        runner = Runner(
            request.watch, part_of(request.progress, 0.0, 0.95), lambda: keeper.save(loop.state(), {"batch": batch}), preview,
            settings["time_limit_s"],
        )  # fmt: skip
        runner.run(loop, "Fitting ReSPPINN")
        return loop, str(place)

    loop, place = with_fallback(train, device, settings["batch"], request.watch)
    keeper.clear()
    field = _field(request, volume, loop)
    found = parameters_at(field, raster.points, device=place, progress=part_of(request.progress, 0.95, 1.0))
    maps = spread_maps(request, rows, found)
    return Fitted({**maps, "quality": quality_map(request, rows)}, field)


def _raster(request: FitRequest, rows: NDArray[np.int64], settings: Mapping[str, Any], start: Start | None) -> Raster:
    """Return the raster of the fit; a start must belong to it."""
    mask = np.zeros(request.problem.flat.shape[0], bool)
    mask[rows] = True
    affine = np.eye(4) if request.affine is None else request.affine
    standard = settings["frame"] == "standard" or (settings["frame"] == "auto" and start is not None and start.frame.standard)
    raster = (standard_raster if standard else scan_raster)(mask.reshape(request.problem.shape), affine)
    if start is not None:
        start.check_raster(raster.shape, raster.affine)
        start.check_settings(settings)
    return raster


def _tell_short(request: FitRequest, settings: Mapping[str, Any], start: Start | None) -> None:
    """Warn of fits that end before they have found late tissue."""
    trained = 0 if start is None else start.provenance.get("outer_steps", 0) * start.provenance.get("inner_steps", 0)
    if settings["steps"] >= ENOUGH_STEPS or trained >= PUBLISHED_TRAINING:
        return
    request.watch.note(
        "resppinn_short",
        f"ReSPPINN was fitted with {settings['steps']} steps, in which late tissue may still look normal.",
        f"Take at least {ENOUGH_STEPS} steps before a lesion is read off these maps.",
        steps=settings["steps"],
    )


def _field(request: FitRequest, volume: VolumeFit, loop: Loop) -> FittedField:
    raster, problem, clockwork = volume.raster, request.problem, volume.scan.clockwork
    settings = learned_settings(volume.settings, clockwork, request.factor)
    settings |= {"position_scale": volume.scale.tolist(), "steps_done": loop.step}
    found = FittedField(
        METHOD, "hash", learned(loop.fields), raster.shape, raster.affine, raster.mask, problem.times_s, problem.aif, settings,
        loop.record.columns(),
    )  # fmt: skip
    return replace(found, fitted_aif=aif_at(found, problem.times_s, device="cpu"))
