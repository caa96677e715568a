# SPDX-License-Identifier: Apache-2.0
"""Make the README's picture from the demo's results (run ``make demo`` first).

    python Testing/tools/make_screenshots.py [demo-output]

Takes pictures of Slicer's own slice views as the demo wrote them and sets two of them above each other, 1280 px wide.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 1280
PARTS = ("slicer_tmax_overlay.png", "slicer_lesions.png")


def main() -> None:
    """Write Docs/Screenshots/demo.jpg."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "demo-output") / "qa"
    pictures = [Image.open(folder / name).convert("RGB") for name in PARTS]
    pictures = [p.resize((WIDTH, round(p.height * WIDTH / p.width)), Image.Resampling.LANCZOS) for p in pictures]
    sheet = Image.new("RGB", (WIDTH, sum(p.height for p in pictures)))
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    target = ROOT / "Docs" / "Screenshots" / "demo.jpg"
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, quality=88, optimize=True)


if __name__ == "__main__":
    main()
