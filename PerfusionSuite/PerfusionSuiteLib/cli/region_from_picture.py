# SPDX-License-Identifier: Apache-2.0
"""``perfusion-suite region-from-picture PICTURE REFERENCE OUT``: a region drawn on a picture of a map becomes a mask."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import results
from ..core import InvalidInputError
from ..core.errors import MissingPackageError
from ..core.files import check_output_folder, staged_folder, write_json
from ..core.geometry import BoolArray, FloatArray, check_same_grid
from ..lesion.picture_color import YELLOW, ColorRange
from ..lesion.picture_files import RgbImage, read_picture, write_mask_picture
from ..lesion.picture_region import (
    FLIPS,
    ORIENTATIONS,
    PicturePlane,
    PictureRegion,
    plane_size_mm,
    region_from_picture,
    seen_from,
)
from ..results.picture_proof import ProofContent, write_proof

ROLES = {"contralateral": "contra_mask", "lesion": "roi_mask"}
"""File of the region by what it is for: the names of the options of ``run`` and ``segment`` that accept it."""


def add_parser(commands: Any) -> None:
    """Register the command.

    Parameters
    ----------
    commands : argparse sub-parsers action
        Where to add it.
    """
    parser = commands.add_parser("region-from-picture", help="turn a region drawn on a picture (yellow outline) into a mask")
    parser.add_argument("picture", metavar="PICTURE", type=Path, help="PNG or JPEG of a map with a closed outline on it")
    parser.add_argument("reference", metavar="REFERENCE", type=Path, help="map (.nii.gz) whose field of view the picture shows")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder for the mask, the proof and the facts")
    parser.add_argument(
        "--role", choices=tuple(ROLES), required=True, help="contralateral: for --contra-mask; lesion: for --roi-mask"
    )
    parser.add_argument("--orientation", choices=ORIENTATIONS, default="axial", help="how the map is seen (default axial)")
    parser.add_argument(
        "--flip", choices=FLIPS, action="append", default=[],
        help="the picture is not radiological (patient's right or anterior on the left): horizontal, vertical, or both",
    )  # fmt: skip
    parser.add_argument(
        "--crop", nargs=4, type=float, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), help="field of view on the picture, in pixels"
    )
    color = parser.add_mutually_exclusive_group()
    color.add_argument("--hue", nargs=2, type=float, metavar=("FROM", "TO"), help="hue of the line in degrees (default 45 70)")
    color.add_argument("--color", metavar="RRGGBB", help="color of the line, for example ff00ff")
    color.add_argument("--pick", nargs=2, type=int, metavar=("COLUMN", "ROW"), help="pixel of the picture that lies on the line")
    parser.add_argument("--saturation", type=float, default=YELLOW.saturation, help="least saturation, 0 to 1 (default 0.35)")
    parser.add_argument("--value", type=float, default=YELLOW.value, help="least brightness, 0 to 1 (default 0.35)")
    parser.add_argument("--all-shades", action="store_true", help="take all shades of the hue, not only that of most of the line")
    parser.add_argument(
        "--brain-mask", metavar="FILE", type=Path, help="the region stays inside (default: masks/brain.nii.gz beside REFERENCE)"
    )
    parser.add_argument(
        "--slab", nargs=2, type=float, metavar=("LOW", "HIGH"), help="limits along the projection in mm of the patient"
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the command.

    Parameters
    ----------
    options : argparse.Namespace
        Parsed arguments.

    Returns
    -------
    int
        Exit code.
    """
    check_output_folder(options.output)
    picture = read_picture(options.picture)
    values, affine = results.read_volume(options.reference)
    if values.ndim != 3:
        msg = f"'{options.reference.name}' has {values.ndim} dimensions. Give one of the maps, for example tmax.nii.gz."
        raise InvalidInputError(msg)
    brain, from_where = _brain(options, values, affine)
    plane = PicturePlane(options.orientation, tuple(options.flip), tuple(options.crop) if options.crop else None)
    colors, shade = _colors(options, picture)
    region = region_from_picture(
        picture, brain, affine, plane=plane, colors=colors, shade=shade, one_shade=not options.all_shades,
        slab_mm=tuple(options.slab) if options.slab else None,
    )  # fmt: skip
    name = ROLES[options.role]
    outdated = {Path(f"{stem}{end}") for stem in ROLES.values() for end in (".nii.gz", "_picture.png", "_proof.png", ".json")}
    outdated = {path for path in outdated if path.name.startswith(name)}
    with staged_folder(options.output, outdated=outdated) as staging:
        results.write_volume(staging / f"{name}.nii.gz", region.mask, affine, dtype=np.uint8, display_range=(0, 1))
        write_mask_picture(staging / f"{name}_picture.png", region.drawing.region)
        write_json(staging / f"{name}.json", _facts(options, region, picture, from_where))
        proof = _proof(staging / f"{name}_proof.png", options, region, picture, values, brain, affine)
    _say(options, region, from_where, proof)
    return 0


def _brain(options: argparse.Namespace, values: NDArray[Any], affine: FloatArray) -> tuple[BoolArray, str]:
    """The brain: as given, of the run that made the map, or where the map has values."""
    path = options.brain_mask or options.reference.parent / "masks" / "brain.nii.gz"
    if path.is_file() or options.brain_mask:
        mask, place = results.read_volume(path)
        check_same_grid(f"The brain mask '{path.name}'", mask.shape, place, values.shape, affine)
        return np.asarray(mask > 0), "brain mask"
    found: BoolArray = np.isfinite(values) & (values != 0)
    if not found.any():
        msg = f"'{options.reference.name}' has no values above 0. Give another map, or a --brain-mask."
        raise InvalidInputError(msg)
    return found, "values of the map"


def _colors(options: argparse.Namespace, picture: RgbImage) -> tuple[ColorRange, tuple[int, int, int] | None]:
    limits = {"saturation": options.saturation, "value": options.value}
    if options.hue:
        return ColorRange((options.hue[0], options.hue[1]), **limits), None
    if options.color is None and options.pick is None:
        return ColorRange(**limits), None
    if options.pick:
        column, row = options.pick
        if not (0 <= column < picture.shape[1] and 0 <= row < picture.shape[0]):
            msg = f"Pixel ({column}, {row}) lies outside of the picture of {picture.shape[1]} x {picture.shape[0]} pixels."
            raise InvalidInputError(msg)
        red, green, blue = (int(channel) for channel in picture[row, column])
    else:
        word = options.color.removeprefix("#")
        if not re.fullmatch(r"[0-9A-Fa-f]{6}", word):
            msg = f"'{options.color}' is not a color. Write red, green and blue as six hexadecimal digits, for example ffff00."
            raise InvalidInputError(msg)
        red, green, blue = (int(word[at : at + 2], 16) for at in (0, 2, 4))
    return ColorRange(ColorRange.around((red, green, blue)).hue_deg, **limits), (red, green, blue)


def _facts(options: argparse.Namespace, region: PictureRegion, picture: RgbImage, from_where: str) -> dict[str, Any]:
    return {
        "role": options.role,
        "orientation": options.orientation,
        "flips": options.flip,
        "crop": options.crop,
        "slab_mm": options.slab,
        "picture_size": [picture.shape[1], picture.shape[0]],
        "line_color": "#{:02x}{:02x}{:02x}".format(*region.drawing.shade),
        "selected_pixels": int(region.drawing.selected.sum()),
        "region_pixels": int(region.drawing.region.sum()),
        "restricted_to": from_where,
        "voxels": int(region.mask.sum()),
        "volume_ml": region.volume_ml,
        "right_share": region.right_share,
        "findings": [asdict(finding) for finding in region.findings],
    }


def side_words(region: PictureRegion) -> str:
    """Say on which side of the patient a region lies.

    Parameters
    ----------
    region : PictureRegion
        The region.

    Returns
    -------
    str
        Words for people.
    """
    side, share = ("right", region.right_share) if region.right_share >= 0.5 else ("left", 1.0 - region.right_share)
    return f"{100 * share:.0f} % on the patient's {side}"


def _proof(
    path: Path,
    options: argparse.Namespace,
    region: PictureRegion,
    picture: RgbImage,
    values: NDArray[Any],
    brain: BoolArray,
    affine: FloatArray,
) -> bool:
    """Write the proof; say whether matplotlib was there to draw it."""
    content = ProofContent(
        picture, region.drawing.region, tuple(options.crop) if options.crop else None,
        seen_from(np.where(brain, values, np.nan), affine, options.orientation),
        seen_from(region.mask, affine, options.orientation),
        plane_size_mm(values.shape, affine, options.orientation), options.orientation, f"Region from picture: {options.role}",
        f"{region.volume_ml:.1f} mL, {side_words(region)}. The map is shown radiologically.",
    )  # fmt: skip
    try:
        write_proof(path, content)
    except MissingPackageError:
        return False
    return True


def _say(options: argparse.Namespace, region: PictureRegion, from_where: str, proof: bool) -> None:
    name = ROLES[options.role]
    print(f"{region.volume_ml:.1f} mL, {side_words(region)}, within the {from_where}; {name}.nii.gz in {options.output}")
    for finding in region.findings:
        print(f"  {finding.severity}: {finding.message} {finding.advice}".rstrip())
    if proof:
        print(f"  Look at {name}_proof.png before you use it.")
    else:
        print("  warning: No proof was drawn because the Python package 'matplotlib' is missing.")
