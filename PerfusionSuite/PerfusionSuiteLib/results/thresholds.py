# SPDX-License-Identifier: Apache-2.0
"""The thresholds of a run in words, and whether they are the ones that fixed file names promise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..lesion import Preset


def is_standard(thresholds: Mapping[str, Any]) -> bool:
    """Tell whether lesions are Tmax > 6 s and relative CBF < 30 % by the usual rules.

    Parameters
    ----------
    thresholds : mapping
        ``LesionMasks.thresholds``.

    Returns
    -------
    bool
        True when the fixed mask names may be used; never after an edit by hand.
    """
    if thresholds.get("edited_by_hand"):
        return False
    tmax, rcbf = thresholds.get("tmax_s"), thresholds.get("rcbf_percent")
    if any(float(thresholds.get(key) or 0.0) not in (0.0, getattr(Preset(), key)) for key in ("late_by_s", "smooth_mm")):
        return False
    rules = (thresholds.get("hypoperfusion_rule", "tmax"), thresholds.get("core_rule", "rcbf"))
    return tmax is not None and rcbf is not None and (float(tmax), float(rcbf)) == (6.0, 30.0) and rules == ("tmax", "rcbf")


def tmax_on_map(thresholds: Mapping[str, Any]) -> float | None:
    """Return the value that was compared with the Tmax map, the method's offset included.

    Parameters
    ----------
    thresholds : mapping
        ``LesionMasks.thresholds``.

    Returns
    -------
    float or None, s
        None when hypoperfusion was not decided by Tmax.
    """
    if thresholds.get("hypoperfusion_rule", "tmax") != "tmax":
        return None
    return float(thresholds.get("tmax_s", 6.0)) + float(thresholds.get("tmax_offset_s") or 0.0)


def hypoperfusion_words(thresholds: Mapping[str, Any]) -> str:
    """Say what counts as hypoperfusion.

    Parameters
    ----------
    thresholds : mapping
        ``LesionMasks.thresholds``.

    Returns
    -------
    str
        For example ``Tmax > 6 s``.
    """
    more, less = (">", "<") if thresholds.get("strict", True) else ("≥", "≤")
    rule = thresholds.get("hypoperfusion_rule", "tmax")
    if rule == "delay":
        return f"delay {more} {thresholds.get('delay_s', 3.0):g} s"
    if rule == "cbf":
        return f"CBF {less} {thresholds.get('hypoperfusion_cbf', 0.0):g}"
    offset, late_by = (float(thresholds.get(key) or 0.0) for key in ("tmax_offset_s", "late_by_s"))
    note = f" ({tmax_on_map(thresholds):g} s on this map)" if offset else ""
    normal = thresholds.get("normal_tmax_s") or {}
    named = ", ".join(f"{kind} {value:.1f} s".removeprefix("tissue ") for kind, value in normal.items())
    kinds = f" ({named})" if named else ""
    later = f", {late_by:g} s later than normal tissue{kinds}" if late_by else ""
    smooth = float(thresholds.get("smooth_mm") or 0.0)
    averaged = f", averaged over {smooth:g} mm" if smooth else ""
    return f"Tmax {more} {thresholds.get('tmax_s', 6.0):g} s{note}{later}{averaged}"


def core_words(thresholds: Mapping[str, Any]) -> str:
    """Say what counts as core.

    Parameters
    ----------
    thresholds : mapping
        ``LesionMasks.thresholds``.

    Returns
    -------
    str
        For example ``relative CBF < 30 %`` or ``network 'core', probability > 0.5``.
    """
    less = "<" if thresholds.get("strict", True) else "≤"
    if thresholds.get("core_rule", "rcbf") == "cbv":
        text = f"CBV {less} {thresholds.get('core_cbv', 0.0):g}"
    elif thresholds.get("core_rule") == "adc":
        text = f"ADC {less} {thresholds.get('core_adc', 0.0):g}e-6 mm²/s"
    elif thresholds.get("core_rule") == "network":
        name, more = Path(str(thresholds.get("core_network") or "core")).stem, ">" if less == "<" else "≥"
        text = f"network '{name}', probability {more} {thresholds.get('core_probability', 0.5):g}"
    else:
        percent, factor = float(thresholds.get("rcbf_percent", 30.0)), float(thresholds.get("rcbf_factor", 1.0))
        note = f" ({percent * factor:g} % on this map)" if factor != 1.0 else ""
        text = f"relative CBF {less} {percent:g} %{note}"
    return text + (" anywhere in tissue" if thresholds.get("core_region") == "anywhere" else "")


def all_words(thresholds: Mapping[str, Any]) -> str:
    """Say all that decides what counts as lesion.

    Parameters
    ----------
    thresholds : mapping
        ``LesionMasks.thresholds``.

    Returns
    -------
    str
        One line.
    """
    parts = [f"hypoperfusion {hypoperfusion_words(thresholds)}", f"core {core_words(thresholds)}"]
    if thresholds.get("edited_by_hand"):
        parts.append(f"{' and '.join(thresholds['edited_by_hand'])} edited by hand")
    if thresholds.get("preset"):
        parts.insert(0, f"preset {thresholds['preset']}")
    if thresholds.get("min_cluster_ml") is not None:
        parts.append(f"clusters below {thresholds['min_cluster_ml']:g} mL left out")
    if thresholds.get("thin_mm"):
        parts.append(f"parts thinner than {2 * thresholds['thin_mm']:g} mm left out")
    return "; ".join(parts)
