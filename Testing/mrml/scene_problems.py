# SPDX-License-Identifier: Apache-2.0
"""What must be in a scene after it was read back."""

from PerfusionSuiteSlicer.mrml.StudyRoles import (
    BROWSER,
    LESIONS,
    PREPARED,
    PREPARED_BROWSER,
    QUALITY,
    REGIONS,
    SERIES,
    nodesOfStudy,
)


def problemsOfScene(scene, study, roles):
    """Return what is missing or broken in a scene that was read: one sentence each, none when all is well.

    Parameters
    ----------
    roles : iterable of str
        Roles that must be there, for example those of the study that was written.
    """
    nodes = nodesOfStudy(scene, study)
    problems = [f"{role} is missing" for role in roles if role not in nodes]
    for role, node in nodes.items():
        problems += [f"{role}: {text}" for text in _problemsOfNode(role, node)]
    return problems


def _problemsOfNode(role, node):
    checks = {
        "map": (
            ("has no voxels", lambda: node.GetImageData() is None),
            ("has no display", lambda: node.GetDisplayNode() is None),
            ("has no colours", lambda: node.GetDisplayNode() is None or node.GetDisplayNode().GetColorNode() is None),
            ("has no unit", lambda: node.GetVoxelValueUnits() is None),
        ),
        QUALITY: (("has no voxels", lambda: node.GetImageData() is None),),
        **dict.fromkeys((SERIES, PREPARED), (("has no frames", lambda: node.GetNumberOfDataNodes() == 0),)),
        **dict.fromkeys((BROWSER, PREPARED_BROWSER), (("has no sequence", lambda: node.GetMasterSequenceNode() is None),)),
        "fit.field": (("has no weights", lambda: node.GetNodeReference("PerfusionSuite.weights") is None),),
        "fit.weights": (("is empty", lambda: not node.GetText()),),
        "fit.loss": (("has no rows", lambda: node.GetNumberOfRows() == 0),),
        "fit.curves": (("has no frames", lambda: node.GetNumberOfDataNodes() == 0),),
        "curve": (("has no rows", lambda: node.GetNumberOfRows() == 0),),
        "plot": (("has no table", lambda: node.GetTableNode() is None),),
        "chart": (("has no curves", lambda: node.GetNthPlotSeriesNode(0) is None),),
        "points": (("has no points", lambda: node.GetNumberOfControlPoints() == 0),),
        LESIONS: (("has not 3 segments", lambda: node.GetSegmentation().GetNumberOfSegments() != 3),),
        REGIONS: (("has no segments", lambda: node.GetSegmentation().GetNumberOfSegments() == 0),),
        "anatomy": (("has no segments", lambda: node.GetSegmentation().GetNumberOfSegments() == 0),),
        "table": (("has no columns", lambda: node.GetNumberOfColumns() == 0),),
        "report": (("is empty", lambda: not node.GetText()),),
    }
    own = checks.get(role, checks.get(role.split(".")[0], ()))
    return [text for text, isBroken in own if isBroken()]
