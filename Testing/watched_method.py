# SPDX-License-Identifier: Apache-2.0
"""A worker that knows one more method: a slow fit that can be watched, interrupted and resumed, without PyTorch.

Run as a worker (``python watched_method.py job.json``), or call `register` in a process of a test.
"""

import json
import sys
import time
from functools import partial

import numpy as np

from PerfusionSuiteLib import fitting, pipeline, settings
from PerfusionSuiteLib.core import CancelledError
from PerfusionSuiteLib.core.files import write_json
from PerfusionSuiteLib.fitting import registry
from PerfusionSuiteLib.fitting.raster_field import make_field
from PerfusionSuiteLib.fitting.request import Fitted

NAME = "watched"
OPTIONS = {"steps": 20, "pause_s": 0.0, "residue": "box"}


def fit(request):
    """Walk from a bad guess to a good one."""
    steps, watch = int(request.settings["steps"]), request.watch
    place = None if watch.checkpoint is None else watch.checkpoint / "state.json"
    start = json.loads(place.read_text())["step"] if place is not None and place.is_file() else 0
    rows = int(request.mask.sum())
    losses, first = [], start
    volume = np.linspace(0.02, 0.06, rows)
    for step in range(start, steps):
        end = time.perf_counter() + request.settings["pause_s"]
        while time.perf_counter() < end:  # not one sleep, which a signal would end
            time.sleep(0.01)
        losses.append(10.0 ** (-2.0 * step / steps))
        watch.loss(step + 1, steps, {"loss": losses[-1], "data": 0.7 * losses[-1], "smoothness": 0.3 * losses[-1]})
        watch.preview(partial(_maps, request, volume, step / steps))
        try:
            if request.progress is not None:
                request.progress((step + 1) / steps, "Watched fit")
        except CancelledError:
            if place is not None:
                write_json(place, {"step": step + 1})
            raise
    watch.note("watched_note", f"The fit began at step {first}.", "This is a test.")
    parameters = np.stack([np.log(volume), np.full(rows, 4.0), np.log(np.full(rows, 5.0))], axis=1)
    maps = _maps(request, volume, 1.0)
    sd = {"cbf_sd": 0.1 * maps["cbf"], "tmax_sd": 0.1 * maps["tmax"]}
    history = {"step": np.arange(first, steps) + 1.0, "loss": np.array(losses), "data": 0.7 * np.array(losses)}
    field = make_field(
        NAME, request, parameters, family="box", history=history, extra={key: values[request.mask] for key, values in sd.items()}
    )
    return Fitted({**maps, **sd, "quality": (~request.mask).astype(np.uint8)}, field)


def _maps(request, volume, share):
    def placed(values):
        whole = np.full(request.mask.shape, np.nan, np.float32)
        whole[request.mask] = values
        return whole

    cbf = placed(request.factor * 60.0 * volume / 5.0 * (0.5 + 0.5 * share))
    cbv = placed(request.factor * volume)
    constant = {"mtt": 5.0, "delay": 1.5, "tmax": 4.0}
    return {"cbf": cbf, "cbv": cbv} | {key: placed(np.full(volume.size, value)) for key, value in constant.items()}


def register():
    """Make the method known to this process; returns what undoes it."""
    method = registry.FitMethod(NAME, "A slow fit for tests.", fit, OPTIONS, on_grid=True, gpu=True)
    before = registry.METHODS
    registry.METHODS = fitting.METHODS = {**before, NAME: method}
    gpu = settings.GPU_METHODS
    settings.GPU_METHODS = pipeline.GPU_METHODS = gpu | {NAME}

    def undo():
        registry.METHODS = fitting.METHODS = before
        settings.GPU_METHODS = pipeline.GPU_METHODS = gpu

    return undo


def interpreter(folder):
    """Write a program that stands in for the Python interpreter of a worker, and return its path."""
    path = folder / "python-with-watched-method"
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -P '{__file__}' \"$4\"\n")
    path.chmod(0o755)
    return str(path)


if __name__ == "__main__":
    from PerfusionSuiteLib.jobs import worker

    register()
    sys.exit(worker.main(sys.argv[1:]))
