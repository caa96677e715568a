# SPDX-License-Identifier: Apache-2.0
"""Which program wrote a file of metrics, and which of its entries could name a patient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

README_EXAMPLE = "ct-perfusion-auto README"
METRICS_PROGRAM = "ct-perfusion-auto metrics"
COLOR_MAPS = "ct-perfusion-auto color maps"
UNKNOWN = "unknown"

_IDENTIFYING = frozenset(
    {
        "accession", "accessionnumber", "acquisitiondate", "address", "birthdate", "birthday", "casename", "dateofbirth",
        "dicomdir", "dob", "email", "filename", "filepath", "firstname", "institution", "institutionname", "lastname", "mrn",
        "operatorsname", "outputdir", "path", "patient", "patientaddress", "patientbirthdate", "patientid", "patientinfo",
        "patientname", "phone", "referringphysician", "referringphysicianname", "seriesdate", "seriesdescription",
        "seriesinstanceuid", "sopinstanceuid", "sourcefile", "ssn", "stationname", "studydate", "studydescription", "studyid",
        "studyinstanceuid", "surname", "telephone",
    }
)  # fmt: skip


def layout_of(values: Mapping[str, Any]) -> str:
    """Return which program wrote metrics; programs give other meanings to equal names.

    Parameters
    ----------
    values : mapping
        A file's content.

    Returns
    -------
    str
        The schema of our own files, the name of a published layout (ct-perfusion-auto sections 4 and 5), or ``unknown``.
    """
    schema = values.get("schema")
    if isinstance(schema, str) and schema.startswith("perfusion-suite/"):
        return schema
    if isinstance(values.get("metrics"), Mapping) and "hypoperfusion_volume_ml" in values["metrics"]:
        return COLOR_MAPS
    if "hypoperfusion_volume_voxels" in values:
        return METRICS_PROGRAM
    if "Corrected_CBV_Index" in values or "hypoperfusion_vox" in values:
        return README_EXAMPLE
    return UNKNOWN


def is_identifying(key: str) -> bool:
    """Find out whether an entry's name says that it names a patient, a hospital, a day or a file.

    Parameters
    ----------
    key : str
        Name with its parents, joined by dots.

    Returns
    -------
    bool
        True when any part is such a name, however it is spelled.
    """
    return any(re.sub(r"[^a-z0-9]", "", part.lower()) in _IDENTIFYING for part in key.split("."))


def is_identifying_column(name: str) -> bool:
    """Find out the same of a column of a user's own table, where a bare ``name`` or ``date`` is a patient's, too.

    Parameters
    ----------
    name : str
        The column.

    Returns
    -------
    bool
        True when it must not be copied.
    """
    return is_identifying(name) or re.sub(r"[^a-z]", "", name.lower()) in {"name", "fullname", "date", "initials"}
