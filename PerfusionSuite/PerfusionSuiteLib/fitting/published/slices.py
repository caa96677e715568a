# SPDX-License-Identifier: Apache-2.0
"""SPPINN: networks of their own for every slice, each slice starting from the weights of its nearest neighbor."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...core.errors import InvalidInputError
from ...core.fields import FittedField
from ...core.progress import part_of
from ..checkpoint import Checkpoint, request_fingerprint
from ..devices import choose_device, with_fallback
from ..request import FitRequest, Fitted
from .artery import fit_artery
from .batches import Draws
from .choices import SPPINN_PUBLISHED, SPPINN_QUICK, SPPINN_VARIANTS, check_choices, filled
from .fields import plane_fields
from .loop import COLUMNS, Loop
from .losses import Losses
from .maps import limited, parameters_of, quality_map, spread_maps
from .prefilters import filtered, smoothed_in_time
from .raster import finite_rows, scan_curves
from .running import Runner
from .sampling import aif_at, learned_settings, parameters_at, plane_positions
from .scan import NormalizedScan, normalized, slice_scale
from .schedule import halved, one_cycle, share_done
from .seeds import seeded

METHOD = "sppinn"

QUICK_OMEGA_AIF = (5.0, 5.0)
"""With the published 1 an arterial network of sines is wrong by a fortieth of the peak after a thousand steps of its own, with 5
by a thousandth."""

Weights = dict[str, NDArray[Any]]


def complete(settings: Mapping[str, Any], on_gpu: bool) -> dict[str, Any]:
    """Return the settings with the values of preset and variant, checked.

    Parameters
    ----------
    settings : mapping
        Of a request.
    on_gpu : bool
        Whether the fit runs on a GPU, for the preset ``auto``.

    Returns
    -------
    dict
        Nothing that a fit needs is None; one of ``steps`` and ``epochs`` is.
    """
    variant = SPPINN_VARIANTS.get(settings["variant"], {})
    quick = settings["preset"] == "quick" or (settings["preset"] == "auto" and not on_gpu)
    lengths_given = settings["steps"] is not None or settings["epochs"] is not None
    layers = ((SPPINN_QUICK,) if quick else ()) + (variant, SPPINN_PUBLISHED)
    full = filled(settings, *layers)
    if lengths_given:
        full |= {name: settings[name] for name in ("steps", "epochs")}
    elif quick:
        full["epochs"] = None
    full["preset"] = "quick" if quick else "published"
    if quick and full["omega"].get("aif"):
        full["omega"] = {**full["omega"], "aif": QUICK_OMEGA_AIF}
    check_choices(full)
    return full


def slice_order(usable: NDArray[np.bool_]) -> list[tuple[int, int | None]]:
    """Return slices outwards from the middle, with the neighbor that each starts from.

    Parameters
    ----------
    usable : ndarray of bool, shape (K,)
        Slices with enough samples.

    Returns
    -------
    list of (int, int or None)
        Slice, and the nearest one done before it; None for the first, which starts from the seeding.
    """
    slices = np.flatnonzero(usable)
    if not slices.size:
        return []
    middle = int(slices[np.abs(slices - (usable.size - 1) / 2).argmin()])
    by_distance = sorted((int(k) for k in slices), key=lambda k: (abs(k - middle), -k))
    order: list[tuple[int, int | None]] = []
    for k in by_distance:
        done = [earlier for earlier, _ in order]
        order.append((k, min(done, key=lambda other: (abs(other - k), other)) if done else None))
    return order


@dataclass(slots=True)
class State:
    """What is done already: weights of the seeding (key -1) and of finished slices, their losses, and the slice in work."""

    done: dict[int, Weights] = field(default_factory=dict)
    records: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    current: Loop | None = None
    at: int = -2

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the state as arrays."""
        arrays = {f"done/{k}/{name}": value for k, weights in self.done.items() for name, value in weights.items()}
        arrays |= {f"records/{k}": record for k, record in self.records.items()}
        if self.current is not None:
            arrays |= {f"now/{name}": value for name, value in self.current.state().items()}
        return arrays

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> State:
        """Return the state that arrays hold; the slice in work is restored when its turn comes."""
        state = cls()
        for name, value in arrays.items():
            kind, _, rest = name.partition("/")
            if kind == "done":
                k, _, weight = rest.partition("/")
                state.done.setdefault(int(k), {})[weight] = value
            elif kind == "records":
                state.records[int(rest)] = value
        return state


class SliceFit:
    """Trains all slices of a scan one after the other.

    Parameters
    ----------
    request : FitRequest
        What is fitted.
    settings : dict
        From `complete`.
    scan : NormalizedScan
        All voxels of the mask, on the CPU.
    index : ndarray of int, shape (N, 3)
        Their indices.
    rows : ndarray of int, shape (N,)
        Their rows of the flattened raster.
    """

    def __init__(
        self,
        request: FitRequest,
        settings: dict[str, Any],
        scan: NormalizedScan,
        index: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        self.request, self.settings, self.scan, self.index, self.rows = request, settings, scan, index, rows
        per_slice = np.bincount(index[:, 2], minlength=request.problem.shape[2]) * scan.curves.shape[1]
        self.order = slice_order(per_slice >= settings["batch"])
        if not self.order:
            msg = (
                f"No slice has the {settings['batch']} samples of one batch (the largest has {per_slice.max()}). "
                "Choose a smaller batch, or a larger mask."
            )
            raise InvalidInputError(msg)
        seeding = 0 if settings["seeding"] is None or not settings["warm_start"] else settings["seeding"]
        self.shares = ([(-1, None, float(seeding))] if seeding else []) + [(k, before, 1.0) for k, before in self.order]
        epochs = {k: max(1, int(per_slice[self._slice(k)]) // settings["batch"]) for k, _, _ in self.shares}
        lengths = {k: settings["steps"] or settings["epochs"] * epochs[k] for k in epochs}
        self.steps = {k: max(1, round(share * lengths[k])) for k, _, share in self.shares}

    def _slice(self, k: int) -> int:
        """Return the slice that a loop sees; that of the seeding (-1) is the first in the order."""
        return self.order[0][0] if k < 0 else k

    def run(self, state: State, kept: Mapping[str, NDArray[Any]], keeper: Checkpoint, place: torch.device, batch: int) -> None:
        """Train what is not done yet; a checkpoint is kept when the fit is cancelled."""
        whole = sum(share for _, _, share in self.shares)
        passed, began = 0.0, time.perf_counter()
        for k, before, share in self.shares:
            if k not in state.done:
                now = {name[4:]: value for name, value in kept.items() if name.startswith("now/") and int(kept["at"][0]) == k}
                loop = self._loop(k, before, state, place, batch, resumed=bool(now))
                if now:
                    loop.restore(now)
                state.current, state.at = loop, k
                self._runner(state, keeper, batch, (passed / whole, (passed + share) / whole), began).run(loop, self._words(k))
                state.done[k] = {name: value.detach().cpu().numpy().copy() for name, value in loop.fields.named_parameters()}
                state.records[k] = np.stack([loop.record.columns()[name] for name in COLUMNS], axis=1)
                state.current = None
            passed += share

    def _words(self, k: int) -> str:
        if k < 0:
            return f"Fitting SPPINN, start from slice {self.order[0][0] + 1}"
        return f"Fitting SPPINN, slice {[other for other, _ in self.order].index(k) + 1} of {len(self.order)}"

    def _loop(self, k: int, before: int | None, state: State, place: torch.device, batch: int, *, resumed: bool) -> Loop:
        """Return the loop of a slice; the seed is the same for each, as the original resets it."""
        settings = self.settings
        fields = plane_fields(settings, seeded(settings["seed"]))
        source = state.done.get(-1 if before is None else before) if settings["warm_start"] and k >= 0 else None
        if source is not None:
            fields.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in source.items()}, strict=False)
        elif not resumed:
            fit_artery(fields, self.scan, int(settings["artery_steps"]), settings["norm"])
        here = torch.from_numpy(np.flatnonzero(self.index[:, 2] == self._slice(k)))
        whole, points = self.scan, settings["batch_of"] == "points"
        scan = NormalizedScan(whole.curves[here], whole.positions[here], whole.times, whole.aif, whole.clockwork).to(place)
        draws = Draws(
            scan, batch=batch, batch_of=settings["batch_of"], by_epoch=points and settings["schedule"] == "halved",
            artery_at_batch=points and settings["aif_points"] == "batch",
            generator=seeded(settings["seed"], place),
        )  # fmt: skip
        losses = Losses(
            scan.times, scan.aif, scan.clockwork.time_sd_s, settings["norm"], settings["derivative"], settings["encodings"],
            settings["data_weight"], settings["residual_weight"],
        )  # fmt: skip
        return Loop(fields.to(place), draws, losses, self.steps[k], self._rate(draws.per_epoch()))

    def _rate(self, per_epoch: int) -> Any:
        settings = self.settings
        rate = settings["rate"]
        if settings["schedule"] == "one-cycle":
            return lambda step, steps: one_cycle(share_done(step, steps), rate)
        epochs, shares = settings.get("halve_epochs", ()), settings.get("halve_shares", ())
        return lambda step, steps: halved(step, rate, [*(n * per_epoch for n in epochs), *(share * steps for share in shares)])

    def _runner(self, state: State, keeper: Checkpoint, batch: int, part: tuple[float, float], began: float) -> Runner:
        """Return what runs a slice's loop; the time left is shared among the slices that are left."""
        limit = self.settings["time_limit_s"]
        if limit is not None:
            left = max(limit - (time.perf_counter() - began), 0.0)
            limit = max(left * (part[1] - part[0]) / max(1.0 - part[0], 1e-9), 1e-3)

        def keep() -> None:
            keeper.save({**state.arrays(), "at": np.array([state.at])}, {"batch": batch})

        lowest, highest = (0.05 + 0.9 * edge for edge in part)
        order = list(self.steps)
        earlier = sum(self.steps[k] for k in order[: order.index(state.at)])
        later = sum(self.steps.values()) - earlier - self.steps[state.at]
        return Runner(
            self.request.watch, part_of(self.request.progress, lowest, highest), keep, lambda: self.preview(state), limit,
            earlier, later,
        )  # fmt: skip

    def preview(self, state: State) -> dict[str, NDArray[np.float32]]:
        """Return maps of the slices that are done or in work."""
        mean, sd = slice_scale(self.request.problem.shape)
        found = np.full((len(self.index), 3), np.nan, np.float32)
        for k, _ in self.order:
            here = np.flatnonzero(self.index[:, 2] == k)
            if k in state.done:
                fields = plane_fields(self.settings, seeded(0))
                fields.load_state_dict({name: torch.from_numpy(value) for name, value in state.done[k].items()}, strict=False)
            elif k == state.at and state.current is not None:
                fields = state.current.fields
            else:
                continue
            found[here] = parameters_of(fields, plane_positions(self.index[here].astype(float), mean, sd))
        return spread_maps(self.request, self.rows, limited(found, self.request.factor, self.settings["clip"]))


def fit(request: FitRequest) -> Fitted:
    """Fit SPPINN slice by slice.

    Parameters
    ----------
    request : FitRequest
        Curves on a grid and settings (see `choices.SPPINN`).

    Returns
    -------
    Fitted
        Maps and a field of kind ``slices``; slices with fewer samples than one batch are NaN.
    """
    device = choose_device(request.device)
    settings = complete(request.settings, device.type == "cuda")
    rows = finite_rows(request)
    index = np.stack(np.unravel_index(rows, request.problem.shape), axis=1)
    mean, sd = slice_scale(request.problem.shape)
    positions = plane_positions(index.astype(np.float64), mean, sd).numpy()
    curves, aif = _prefiltered(request, rows, settings)
    scan = normalized(curves, positions, request.problem.times_s, aif, settings["baseline_frames"])
    work = SliceFit(request, settings, scan, index, rows)
    if settings["preset"] == "quick" and request.settings["preset"] == "auto" and request.settings["steps"] is None:
        request.watch.note(
            "sppinn_quick",
            f"On a CPU SPPINN was fitted with {settings['steps']} steps per slice on whole curves, fewer than published.",
            "Choose the preset published for the numbers of the publication, which take hours on a CPU.",
            steps=settings["steps"],
        )
    keeper = Checkpoint(request.watch.checkpoint, METHOD, request_fingerprint(METHOD, request, settings_used=settings))

    def train(place: torch.device, batch: int) -> tuple[State, str]:
        loaded = keeper.load()
        kept, batch = ({}, batch) if loaded is None else (loaded[0], int(loaded[1]["batch"]))
        state = State.of(kept)
        work.run(state, kept, keeper, place, batch)
        return state, str(place)

    state, place = with_fallback(train, device, settings["batch"], request.watch)
    keeper.clear()
    stored = _field(request, work, state, (mean, sd))
    left_out = ~np.isin(index[:, 2], stored.weights["slices"])
    found = {name: np.full(rows.size, np.nan, np.float32) for name in ("flow", "mtt", "delay")}
    points = index[~left_out].astype(np.float64)
    for name, values in parameters_at(stored, points, device=place, progress=part_of(request.progress, 0.95, 1.0)).items():
        found[name][~left_out] = values
    _tell_left_out(request, left_out, index)
    return Fitted({**spread_maps(request, rows, found), "quality": quality_map(request, rows, left_out)}, stored)


def _prefiltered(
    request: FitRequest, rows: NDArray[np.int64], settings: Mapping[str, Any]
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return curves and arterial input after the filters of the variant."""
    problem, kind = request.problem, settings["prefilter"]
    mask = np.zeros(problem.flat.shape[0], bool)
    mask[rows] = True
    affine = np.eye(4) if request.affine is None else request.affine
    curves = filtered(
        scan_curves(request, rows), mask.reshape(problem.shape), affine, kind, settings["prefilter_px"],
        part_of(request.progress, 0.0, 0.05),
    )  # fmt: skip
    return curves, smoothed_in_time(problem.aif) if kind == "phantom" else problem.aif


def _tell_left_out(request: FitRequest, left_out: NDArray[np.bool_], index: NDArray[np.int64]) -> None:
    if not left_out.any():
        return
    slices = np.unique(index[left_out, 2]) + 1
    request.watch.note(
        "slices_left_out",
        f"{slices.size} slices ({', '.join(map(str, slices))}) have fewer samples than one batch and were not fitted.",
        "Choose a smaller batch if they matter.",
        slices=slices.tolist(),
    )


def _field(request: FitRequest, work: SliceFit, state: State, scale: tuple[float, float]) -> FittedField:
    """Store the weights of all slices, one after the other along the first axis."""
    slices = np.array(sorted(k for k in state.done if k >= 0))
    weights: dict[str, NDArray[Any]] = {"slices": slices}
    weights |= {name: np.stack([state.done[int(k)][name] for k in slices]) for name in state.done[int(slices[0])]}
    settings = learned_settings(work.settings, work.scan.clockwork, request.factor)
    settings |= {"position_mean": scale[0], "position_sd": scale[1]}
    order = [k for k, _, _ in work.shares]
    table = np.concatenate([state.records[k] for k in order])
    for column in (COLUMNS.index("step"), COLUMNS.index("seconds")):  # go on from slice to slice
        ends = np.cumsum([0.0, *(state.records[k][-1, column] for k in order[:-1])])
        table[:, column] += np.repeat(ends, [len(state.records[k]) for k in order])
    history = {name: table[:, n].copy() for n, name in enumerate(COLUMNS)}
    history["slice"] = np.concatenate([np.full(len(state.records[k]), float(k)) for k in order])  # -1: the seeding
    problem = request.problem
    i, j, count = problem.shape
    affine = np.eye(4) if request.affine is None else request.affine
    mask = np.zeros(problem.flat.shape[0], bool)
    mask[work.rows[np.isin(work.index[:, 2], slices)]] = True
    found = FittedField(
        METHOD, "slices", weights, (i, j, count), affine, mask.reshape(problem.shape), problem.times_s, problem.aif, settings,
        history,
    )  # fmt: skip
    return replace(found, fitted_aif=aif_at(found, problem.times_s, device="cpu"))
