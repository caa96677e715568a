# SPDX-License-Identifier: Apache-2.0
"""A combo box for the segments of a segmentation that another combo box chooses."""

from slicer.i18n import tr as _


class RegionBox:
    """Ties a combo box to a text parameter that holds a segment ID.

    :param comboBox: QComboBox of the panel.
    :param hint: what the segment is for.
    """

    def __init__(self, comboBox, hint):
        self._comboBox = comboBox
        self._hint = hint
        self._ids = []
        self._onChosen = None
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def bind(self, onChosen):
        """Call a function with the segment ID whenever the user chooses; None stops it."""
        self._onChosen = onChosen

    def show(self, segmentID):
        """Show a segment without telling anybody; see fill()."""
        onChosen, self._onChosen = self._onChosen, None
        self._comboBox.currentIndex = self._ids.index(segmentID) if segmentID in self._ids else -1
        self._onChosen = onChosen

    def fill(self, segmentation, segmentID):
        """List the segments of a segmentation; return the one that is shown, an empty text for none.

        :param segmentation: vtkMRMLSegmentationNode or None.
        :param segmentID: the one to show, else the first.
        """
        known = None if segmentation is None else segmentation.GetSegmentation()
        ids = [] if known is None else list(known.GetSegmentIDs())
        names = [known.GetSegment(each).GetName() for each in ids]
        box = self._comboBox
        if [box.itemText(index) for index in range(box.count)] != names or ids != self._ids:
            onChosen, self._onChosen = self._onChosen, None
            self._ids = ids
            box.clear()
            box.addItems(names)
            self._onChosen = onChosen
        shown = segmentID if segmentID in ids else (ids[0] if ids else "")
        self.show(shown)
        box.enabled = bool(ids)
        box.toolTip = self._hint if ids else _("Choose a segmentation with segments first")
        return shown

    def _onIndexChanged(self, index):
        if self._onChosen is not None and 0 <= index < len(self._ids):
            self._onChosen(self._ids[index])
