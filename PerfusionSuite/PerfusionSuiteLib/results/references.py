# SPDX-License-Identifier: Apache-2.0
"""Literature of what a run used, for the end of the report."""

from __future__ import annotations

from collections.abc import Mapping

from .map_study import AnyStudy

_CENTRAL_VOLUME = "Meier P, Zierler KL. J Appl Physiol 6:731 (1954): central volume principle."
_OSTERGAARD = "Østergaard L et al. Magn Reson Med 36:715 (1996): deconvolution by singular value decomposition."
_WU = "Wu O et al. Magn Reson Med 50:164 (2003): block-circulant deconvolution, oscillation index."
_BENNINK = "Bennink E et al. J Med Imaging 3:026003 (2016): fitting a box-shaped residue function."
_DE_VRIES = "de Vries L et al. Med Image Anal 90:102971 (2023): physics-informed neural fields for CT perfusion."

_HEMOPIC = "Lee Y-C, Liu P. MICCAI (2026), arXiv:2607.08799: HemoPIC, regional hemodynamics of DSC-MRI."
_METHODS: Mapping[str, tuple[str, ...]] = {
    "ssvd": (_OSTERGAARD,),
    "ssvd-delay": (_OSTERGAARD,),
    "csvd": (_OSTERGAARD, _WU),
    "osvd": (_OSTERGAARD, _WU),
    "tikhonov": ("Calamante F, Gadian DG, Connelly A. Magn Reson Med 50:1237 (2003): Tikhonov regularization.",),
    "nlr": (_BENNINK,),
    "bayes": (
        "Mouridsen K et al. NeuroImage 33:570 (2006): gamma-distributed transit times, Bayesian estimation.",
        "Boutelier T et al. IEEE Trans Med Imaging 31:1381 (2012): Bayesian perfusion parameters with delay.",
    ),
    "spatial": (_BENNINK,),
    "neural": (_BENNINK, _DE_VRIES),
    "sppinn": (_DE_VRIES,),
    "resppinn": (_DE_VRIES,),
    "hemopic": (
        _HEMOPIC,
        "Mouridsen K et al. NeuroImage 33:570 (2006): gamma-distributed transit times, Bayesian estimation.",
    ),
    "hemopic-compat": (_HEMOPIC, _OSTERGAARD, _WU),
}
_LATE = "Olivot JM et al. Stroke 40:469 (2009): Tmax thresholds of hypoperfused tissue."
_CORE: Mapping[str, tuple[str, ...]] = {
    "rcbf": ("Campbell BCV et al. Stroke 42:3435 (2011): relative CBF as a marker of the infarct core.",),
    "network": ("Çiçek Ö et al. MICCAI (2016): 3D U-Net, the kind of network that drew the core.",),
}
"""By the rule of the core."""
_ALWAYS = (
    "Rempp KA et al. Radiology 193:637 (1994): hematocrit factor.",
    "Dickie BR et al. Magn Reson Med 91:1761 (2024): OSIPI lexicon of perfusion quantities (CAPLEX).",
)
_VENOUS = "Salim HA et al. Eur J Neurol (2024): prolonged venous transit, Tmax of at least 10 s in the dural sinuses."
_CBV_INDEX = "Jang H et al. (2025): CTP-derived corrected CBV index as a surrogate of collaterals on angiography."
_TRIALS = (
    "Albers GW et al. N Engl J Med 378:708 (2018): DEFUSE 3 imaging criteria.",
    "Ma H et al. N Engl J Med 380:1795 (2019): EXTEND imaging criteria.",
    "Nogueira RG et al. N Engl J Med 378:11 (2018): DAWN imaging criteria.",
)


def references_of(study: AnyStudy, *, with_trials: bool) -> list[str]:
    """List the literature of the methods that a run used.

    Parameters
    ----------
    study : Study or MapStudy
        The run.
    with_trials : bool
        Whether trial criteria are reported.

    Returns
    -------
    list of str
        One line per reference, in the order of the chain.
    """
    method = str(study.settings.get("method") or next((m.provenance.method for m in study.maps.values()), ""))
    found = [_CENTRAL_VOLUME, *_METHODS.get(method, ())]
    if study.aif is not None and study.aif.kind == "aif" and study.aif.origin == "automatic":
        found.append("Straka M, Albers GW, Bammer R. J Magn Reson Imaging 32:1024 (2010): automatic choice of the AIF.")
    found += [_LATE, *_CORE.get(str(study.lesions.thresholds.get("core_rule", "rcbf")), ()), *_ALWAYS]
    if (study.metrics.values.get("pvt") or {}).get("assessable"):
        found.append(_VENOUS)
    if study.metrics.values.get("corrected_cbv_index") is not None:
        found.append(_CBV_INDEX)
    return [*found, *_TRIALS] if with_trials else found
