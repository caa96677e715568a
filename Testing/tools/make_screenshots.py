# SPDX-License-Identifier: Apache-2.0
"""Make the pictures of the README: the demo's slice views, and the three panels beside their layouts.

    python Testing/tools/make_screenshots.py [demo-output]

The first picture needs ``make demo``; it is left as it is when the demo's results are not there. The panels are opened in the
emulation of Testing/harness, on digital patients. Every picture is 1280 px wide.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "Docs" / "Screenshots"
WIDTH = 1280
PARTS = ("slicer_tmax_overlay.png", "slicer_lesions.png")
MODULES = ("CorePenumbra", "PerfusionFit", "PerfusionSuite")
PANELS = (*MODULES, "HemoPIC", "ASL")
BACKGROUND = (239, 239, 239)
MARGIN = 16


def demo_picture(folder: Path) -> None:
    """Set two of the demo's slice views above each other."""
    pictures = [Image.open(folder / name).convert("RGB") for name in PARTS]
    pictures = [p.resize((WIDTH, round(p.height * WIDTH / p.width)), Image.Resampling.LANCZOS) for p in pictures]
    sheet = Image.new("RGB", (WIDTH, sum(p.height for p in pictures)))
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    sheet.save(TARGET / "demo.jpg", quality=88, optimize=True)


def panel_pictures() -> None:
    """Open the panels, and set each beside its layout."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        harness = ROOT / "Testing" / "harness"
        files = [ROOT / module / f"{module}.py" for module in MODULES]
        script = harness / "drive_screenshots.py"
        subprocess.run(
            [sys.executable, harness / "run_module.py", *files, "--script", script, "--pictures", folder],
            check=True, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        )  # fmt: skip
        for module in PANELS:
            panel, layout = (Image.open(folder / f"{module}-{part}.png").convert("RGB") for part in ("panel", "layout"))
            sheet = Image.new("RGB", (panel.width + layout.width, max(panel.height, layout.height)), BACKGROUND)
            sheet.paste(panel, (0, 0))
            sheet.paste(layout, (panel.width, 0))
            _, _, _, used = ImageChops.difference(sheet, Image.new("RGB", sheet.size, BACKGROUND)).getbbox()
            sheet = sheet.crop((0, 0, sheet.width, min(sheet.height, used + MARGIN)))
            size = (WIDTH, round(sheet.height * WIDTH / sheet.width))
            sheet.resize(size, Image.Resampling.LANCZOS).save(TARGET / f"{module}.jpg", quality=88, optimize=True)


def main() -> None:
    """Write Docs/Screenshots."""
    TARGET.mkdir(parents=True, exist_ok=True)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "demo-output") / "qa"
    if all((folder / name).is_file() for name in PARTS):
        demo_picture(folder)
    panel_pictures()


if __name__ == "__main__":
    main()
