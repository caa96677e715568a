# SPDX-License-Identifier: Apache-2.0
"""Draw the icons of extension and modules: a brain outline filled with the colours of a Tmax map.

python Testing/tools/make_icons.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from PerfusionSuiteLib.core.colors import LESION_COLORS, color_table

ROOT = Path(__file__).resolve().parents[2]
SIZE = 128


def picture(kind: str) -> np.ndarray:
    """Return an RGBA picture: ``suite`` (map), ``fit`` (map and curve) or ``core`` (core and penumbra)."""
    y, x = np.mgrid[1 : -1 : SIZE * 4j, -1 : 1 : SIZE * 4j]
    brain = np.hypot(x / 0.74, y / 0.90) < 1 - 0.02 * (1 - np.cos(12 * np.arctan2(y, x)))
    distance = np.hypot(x - 0.30, (y - 0.05) / 1.25)
    tmax = np.clip(1.0 - distance / 0.75, 0, 1) ** 0.8
    image = np.zeros((*x.shape, 4))
    image[brain, :3] = color_table("delay")[(40 + 200 * tmax[brain]).astype(int)]
    if kind == "core":
        image[brain, :3] = 0.25 + 0.25 * (1 - distance[brain, None].clip(0, 1))
        image[brain & (distance < 0.42), :3] = LESION_COLORS["penumbra"]
        image[brain & (distance < 0.22), :3] = LESION_COLORS["core"]
    image[brain & (np.abs(x) < 0.012), :3] *= 0.35
    image[brain, 3] = 1.0
    if kind == "fit":
        t = np.clip((x + 0.62) / 0.35, 0, None)
        curve = -0.55 + 1.0 * t**3 * np.exp(3 * (1 - t))
        line = (np.abs(y - curve) < 0.05 + 0.35 * np.abs(np.gradient(curve, axis=1)) * 12) & (np.abs(x) < 0.72)
        image[line] = (1, 1, 1, 1)
    return image.reshape(SIZE, 4, SIZE, 4, 4).mean(axis=(1, 3))


def main() -> None:
    """Write the icons."""
    mpl.use("Agg")
    from matplotlib import image

    for kind, module in (("suite", "PerfusionSuite"), ("fit", "PerfusionFit"), ("core", "CorePenumbra")):
        image.imsave(ROOT / module / "Resources" / "Icons" / f"{module}.png", picture(kind))
    image.imsave(ROOT / "PerfusionSuite.png", picture("suite"))


if __name__ == "__main__":
    main()
