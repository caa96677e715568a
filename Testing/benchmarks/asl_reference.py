# SPDX-License-Identifier: Apache-2.0
"""Error of every ASL method on a ground truth that this project did not make: the ASL digital reference object.

    pip install --no-deps asldro                # MIT; its pins are old, but this script needs no more than numpy and nibabel
    python Testing/benchmarks/asl_reference.py [--methods asl-single asl-multi-wd asl-multi qtmnet] [--object FILE.npz]

The object is a 1 mm brain with CBF, arrival time, T1 and M0, and an own implementation of the general kinetic model; label of
1.45 s, delays 1.025 to 2.525 s, efficiency 0.85. Signals are computed at 1 mm and averaged over blocks of 2 x 2 x 4 mm (not by
the package's resampler, which clips difference images). ``bundled``: gray matter 60 mL/100 g/min at 0.8 s, white matter 20 at
1.2 s. ``modulated``: flow changed by +-25 %, arrival from 0.25 s earlier in front to 0.35 s later behind, the left side 0.6 s
later, and a lesion with 40 % of the flow, 0.4 s later. Noise: mean M0 over the standard deviation of one volume, three pairs
for each delay.

Printed: NRMSE of flow in % in pure gray / pure white / all brain voxels, bias in gray and white, coverage of one standard error,
seconds of one core. Goal: asl-multi no worse than least squares with an expectation of the arrival time (its row ``mode``), and
at most 1 % without noise in pure voxels whose label arrives after the first delay. ``--object`` keeps the object (3 MB), so that
asldro is needed only once.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from PerfusionSuiteLib import asl
from PerfusionSuiteLib.core import AslDifference, PerfusionError

LABEL_S, DELAYS_S, EFFICIENCY = 1.45, (1.025, 1.525, 2.025, 2.525), 0.85
BLOCK = (2, 2, 4)
PURE = 0.999
RUNS = (("bundled", np.inf), ("modulated", np.inf), ("modulated", 1000.0), ("modulated", 300.0))
METHODS = (
    ("asl-single", {"delay_s": 1.525}),
    ("asl-single", {"delay_s": 2.025}),
    ("asl-multi-wd", {}),
    ("asl-multi", {"estimate": "mode"}),
    ("asl-multi", {}),
    ("qtmnet", {}),
)


def averaged(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Average over blocks of 2 x 2 x 4 voxels."""
    size = [n // b for n, b in zip(values.shape, BLOCK, strict=True)]
    cut = values[: size[0] * 2, : size[1] * 2, : size[2] * 4].astype(np.float64)
    return cut.reshape(size[0], 2, size[1], 2, size[2], 4).mean(axis=(1, 3, 5))


def changed(flow: Any, arrival: Any, tissue: Any) -> tuple[Any, Any]:
    """Flow and arrival time that differ from place to place; i grows to the right, j to anterior."""
    i, j, k = np.indices(flow.shape, np.float32)
    left, lesion = i < 98, (i - 55) ** 2 + (j - 120) ** 2 + (k - 90) ** 2 < 22**2
    wave = 1.0 + 0.25 * np.sin(2 * np.pi * i / 40) * np.sin(2 * np.pi * j / 46) * np.cos(2 * np.pi * k / 50)
    later = 0.25 * (134.0 - j) / 90.0 + 0.6 * left + 0.4 * lesion
    return flow * wave * np.where(lesion, 0.4, 1.0), np.where(tissue, np.maximum(arrival + later, 0.3), arrival)


def make_object() -> dict[str, np.ndarray[Any, Any]]:
    """Compute both versions of the object with asldro."""
    import asldro
    import nibabel
    from asldro.containers.image import NumpyImageContainer
    from asldro.filters.gkm_filter import GkmFilter

    path = Path(asldro.__file__).parent / "data" / "hrgt_icbm_2009a_nls_3t.nii.gz"
    volumes = np.asanyarray(nibabel.load(path).dataobj)[:, :, :, 0]
    flow, arrival, t1, m0, labels = (volumes[..., at].astype(np.float64) for at in (0, 1, 2, 5, 6))
    gray, white, fluid = (labels == at for at in (1, 2, 3))
    found = {"m0": averaged(m0), "gm": averaged(gray), "wm": averaged(white), "csf": averaged(fluid)}
    share = np.maximum(averaged(gray | white), 1e-6)
    for name in ("bundled", "modulated"):
        q, att = (flow, arrival) if name == "bundled" else changed(flow, arrival, gray | white)
        found |= {f"{name}_cbf": averaged(q), f"{name}_att": averaged(np.where(gray | white, att, 0.0)) / share}
        images = []
        for delay in DELAYS_S:
            model = GkmFilter()
            model.add_inputs({
                "perfusion_rate": NumpyImageContainer(q), "transit_time": NumpyImageContainer(att),
                "m0": NumpyImageContainer(m0), "t1_tissue": NumpyImageContainer(t1), "label_type": "pcasl",
                "label_duration": LABEL_S, "signal_time": LABEL_S + delay, "label_efficiency": EFFICIENCY,
                "lambda_blood_brain": 0.9, "t1_arterial_blood": 1.65,
            })  # fmt: skip
            model.run()
            images.append(averaged(np.asarray(model.outputs["delta_m"].image)))
        found[f"{name}_delta_m"] = np.stack(images, axis=-1)
    return {key: values.astype(np.float32) for key, values in found.items()}


def scan_of(thing: dict[str, Any], name: str, snr: float) -> AslDifference:
    """The object as it was measured."""
    brain = thing["gm"] + thing["wm"] + thing["csf"] > 0.5
    sd = 0.0 if np.isinf(snr) else float(thing["m0"][thing["gm"] + thing["wm"] > 0.5].mean()) / snr * np.sqrt(2.0 / 3.0)
    images = thing[f"{name}_delta_m"] + np.random.default_rng(0).normal(0.0, 1.0, thing[f"{name}_delta_m"].shape) * sd
    return AslDifference(
        images.astype(np.float32), np.array(DELAYS_S), np.full(4, LABEL_S), thing["m0"], np.full(images.shape, sd, np.float32),
        brain, np.diag([2.0, 2.0, 4.0, 1.0]), "pcasl", EFFICIENCY, 3.0, np.zeros(brain.shape[2]), np.full(4, 3),
    )  # fmt: skip


def scored(maps: dict[str, Any], thing: dict[str, Any], name: str, brain: Any) -> str:
    """One cell of the table."""
    truth, flow = thing[f"{name}_cbf"], np.nan_to_num(maps["cbf"])
    gray, white = (brain & (thing[key] > PURE) for key in ("gm", "wm"))

    def nrmse(mask: Any) -> float:
        return 100.0 * float(np.linalg.norm((flow - truth)[mask]) / np.linalg.norm(truth[mask]))

    text = f"{nrmse(gray):5.1f} / {nrmse(white):5.1f} / {nrmse(brain):5.1f}"
    text += f"   bias {float((flow - truth)[gray].mean()):+5.1f} {float((flow - truth)[white].mean()):+5.1f}"
    if "cbf_sd" in maps and np.nanmax(maps["cbf_sd"]) > 0:
        inside = np.abs(flow - truth) <= maps["cbf_sd"]
        text += f"   covered {100 * inside[gray].mean():3.0f} {100 * inside[white].mean():3.0f} %"
    if np.isinf(float(maps["snr"])) and "att" in maps:
        seen = (gray | white) & (thing[f"{name}_att"] > DELAYS_S[0] + 0.02)
        text += f"   arriving after the first delay: {nrmse(seen):4.2f}"
    return text


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=sorted({name for name, _ in METHODS}))
    parser.add_argument("--object", type=Path, help="where the object is kept, or was kept earlier")
    parser.add_argument("--weights", type=Path, help="weights of qtmnet other than the shipped ones")
    options = parser.parse_args()
    if options.object and options.object.is_file():
        thing = dict(np.load(options.object))
    else:
        try:
            thing = make_object()
        except ImportError as error:
            print(f"{error}. Install the object with 'pip install --no-deps asldro'.", file=sys.stderr)
            return 2
        if options.object:
            np.savez_compressed(options.object, **thing)
    tissue = {"gm": np.clip(thing["gm"], 0, 1), "wm": np.clip(thing["wm"], 0, 1)}
    for name, snr in RUNS:
        scan = scan_of(thing, name, snr)
        print(f"{name}, {'no noise' if np.isinf(snr) else f'SNR {snr:g} x 3'}; {int(scan.mask.sum())} brain voxels")
        for method, settings in METHODS:
            if method not in options.methods:
                continue
            if method == "qtmnet" and options.weights:
                settings = {"weights": str(options.weights)}
            start = time.process_time()
            label = f"{method} {' '.join(str(v) for v in settings.values() if method != 'qtmnet')}".strip()
            try:
                maps = asl.quantify(scan, method=method, settings=settings, tissue=tissue)
            except PerfusionError as error:
                print(f"  {label:22s} not measured: {error}")
                continue
            spent = time.process_time() - start
            print(f"  {label:22s} {scored({**maps, 'snr': snr}, thing, name, scan.mask)}   {spent:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
