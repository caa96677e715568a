# SPDX-License-Identifier: Apache-2.0
"""Filling HTML templates, with every text escaped."""

from __future__ import annotations

import importlib.util
import math
from importlib import resources
from typing import Any

from .. import __version__
from ..core.errors import require_package

NOT_AVAILABLE = "not available"


def has_templates() -> bool:
    """Tell whether jinja2 is installed.

    Returns
    -------
    bool
        True when HTML can be made.
    """
    return importlib.util.find_spec("jinja2") is not None


def rendered(name: str, **values: Any) -> str:
    """Fill a template of the package.

    Parameters
    ----------
    name : str
        File in ``data/templates``.
    **values
        What the template shows.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    MissingPackageError
        If jinja2 is not installed.
    """
    require_package("jinja2", "write the report")
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = resources.files("PerfusionSuiteLib") / "data" / "templates"
    sources = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith((".j2", ".css"))}
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return str(environment.get_template(name).render(version=__version__, **values))


def shown(value: Any, digits: int = 3) -> str:
    """Write a number for a reader.

    Parameters
    ----------
    value : object
        A number, a text or None.
    digits : int
        Significant digits of a number that is not whole; whole digits are never dropped.

    Returns
    -------
    str
        The text; ``not available`` for None and non-finite numbers.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NOT_AVAILABLE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if value == 0 or abs(value) >= 10 ** (digits - 1):
            return f"{value:.0f}"
        decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
        return f"{value:.{min(decimals, digits)}f}"
    if isinstance(value, list | tuple):
        return ", ".join(shown(item, digits) for item in value)
    return str(value)
