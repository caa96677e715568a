# SPDX-License-Identifier: Apache-2.0
"""Names of result files: a flat folder per case, or BIDS derivatives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InvalidInputError
from ..core.quantities import QUANTITIES

PICTURES = ("aif_vof", "tmax_mip", "core_penumbra_mip", "maps_montage", "regions", "venous_transit", "follow_up", "motion")
"""Stems of the pictures in ``qa/``, in the order of the report."""

ASL_PICTURES = ("asl_maps", "asl_differences", "asl_curves")
"""Stems of the pictures of an ASL run, in the order of its report; head motion follows."""

MASKS = (
    "brain",
    "csf",
    "vessel",
    "bone",
    "tissue",
    "hypoperfusion_mask",
    "core_mask",
    "penumbra_mask",
    "aif",
    "vof",
    "sss",
    "torcula",
    "reference",
    "roi_region",
    "contra_region",
    "resolved",
    "persistent",
    "new",
)
"""Stems of the masks in ``masks/``."""

FIXED_MASKS = {"hypoperfusion_mask": "hypoperf_mask_tmax6", "core_mask": "core_mask_rcbf30"}
"""Names that promise a threshold, written only when exactly that threshold was used."""

FIELD_FILES = (("field", "safetensors"), ("loss", "csv"))
"""What a fit has learned and how: stem and suffix of each file."""

LABELS = ("regions", "status")
"""Stems of volumes of whole numbers, each explained by a table."""

REGION_TABLES = ("regions", "region_curves", "reference_curve")
"""Stems of the tables of a fit of regions."""

ASL_CURVES = "asl_curves"
"""Stem of the table of mean difference signals of regions."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each result of one case lies, relative to the output folder.

    Parameters
    ----------
    name : {"flat", "bids"}
        Flat folder, or BIDS derivatives.
    case_id : str
        De-identified name of the case; in BIDS reduced to letters and digits.

    Raises
    ------
    InvalidInputError
        If the layout is unknown.
    """

    name: str
    case_id: str

    def __post_init__(self) -> None:
        if self.name not in {"flat", "bids"}:
            msg = f"There is no layout '{self.name}'. Choose 'flat' or 'bids'."
            raise InvalidInputError(msg)

    @property
    def is_bids(self) -> bool:
        """Whether names follow BIDS derivatives."""
        return self.name == "bids"

    @property
    def subject(self) -> str:
        """BIDS subject, for example ``sub-01``."""
        label = re.sub(r"[^A-Za-z0-9]", "", re.sub(r"^sub-", "", self.case_id))
        return f"sub-{label or 'case'}"

    @property
    def delimiter(self) -> str:
        """Between the cells of a table: BIDS tables are separated by tabs."""
        return "\t" if self.is_bids else ","

    def map(self, key: str) -> Path:
        """Return the place of a map.

        Parameters
        ----------
        key : str
            A key of `QUANTITIES`.

        Returns
        -------
        Path
            Relative path.
        """
        return self._bids(f"desc-perfusion_{_label(key)}.nii.gz") if self.is_bids else Path(f"{key}.nii.gz")

    def mask(self, stem: str) -> Path:
        """Return the place of a mask.

        Parameters
        ----------
        stem : str
            For example ``core_mask``.

        Returns
        -------
        Path
            Relative path.
        """
        if self.is_bids:
            return self._bids(f"desc-{_label(stem.removesuffix('_mask'))}_mask.nii.gz")
        return Path("masks", f"{stem}.nii.gz")

    def fixed_mask(self, stem: str) -> Path:
        """Return the place of a mask whose name promises a threshold.

        Parameters
        ----------
        stem : str
            A key of `FIXED_MASKS`.

        Returns
        -------
        Path
            Relative path.
        """
        fixed = FIXED_MASKS[stem]
        return self._bids(f"desc-{_label(fixed.replace('_mask', ''))}_mask.nii.gz") if self.is_bids else Path(f"{fixed}.nii.gz")

    def labels(self, stem: str) -> Path:
        """Return the place of a volume of whole numbers.

        Parameters
        ----------
        stem : str
            One of `LABELS`.

        Returns
        -------
        Path
            Relative path.
        """
        return self._bids(f"desc-{_label(stem)}_dseg.nii.gz") if self.is_bids else Path(f"{stem}.nii.gz")

    def key(self, stem: str) -> Path:
        """Return the place of the table that says what the numbers of such a volume mean.

        Parameters
        ----------
        stem : str
            One of `LABELS`.

        Returns
        -------
        Path
            Relative path.
        """
        return self._bids(f"desc-{_label(stem)}_dseg.tsv") if self.is_bids else Path(f"{stem}_key.csv")

    def table(self, stem: str, suffix: str) -> Path:
        """Return the place of numbers (``metrics``), curves (``aif``, ``vof``), the log or the report.

        Parameters
        ----------
        stem : str
            What it is.
        suffix : str
            Without the dot; ``csv`` becomes ``tsv`` in BIDS.

        Returns
        -------
        Path
            Relative path.
        """
        if not self.is_bids:
            return Path(f"{stem}.{suffix}")
        if stem == "report":
            return Path(f"{self.subject}.html")
        return self._bids(f"desc-{_label(stem)}_perf.{suffix.replace('csv', 'tsv')}")

    def picture(self, stem: str) -> Path:
        """Return the place of a picture.

        Parameters
        ----------
        stem : str
            One of `PICTURES`.

        Returns
        -------
        Path
            Relative path.
        """
        if self.is_bids:
            return Path(self.subject, "figures", f"{self.subject}_desc-{_label(stem)}_perf.png")
        return Path("qa", f"{stem}.png")

    def every_name(self) -> set[Path]:
        """Return all names that a run may write, to recognize what an earlier run has left.

        Returns
        -------
        set of Path
            Relative paths.
        """
        names = {self.map(key) for key in QUANTITIES} | {self.mask(stem) for stem in MASKS}
        names |= {self.fixed_mask(stem) for stem in FIXED_MASKS} | {self.picture(stem) for stem in PICTURES + ASL_PICTURES}
        names |= {self.labels(stem) for stem in LABELS}
        if self.is_bids:
            names |= {
                name.with_name(name.name.replace(".nii.gz", ".json")) for name in list(names) if name.name.endswith(".nii.gz")
            }
        tables = (("metrics", "json"), ("metrics", "csv"), ("aif", "csv"), ("vof", "csv"), ("log", "txt"), ("report", "html"))
        names |= {self.table(stem, suffix) for stem, suffix in (*tables, *FIELD_FILES, ("truth", "csv"), ("truth", "html"))}
        return names | {self.table(stem, "csv") for stem in (*REGION_TABLES, ASL_CURVES)} | {self.key(stem) for stem in LABELS}

    def _bids(self, rest: str) -> Path:
        return Path(self.subject, "perf", f"{self.subject}_{rest}")


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", text)
