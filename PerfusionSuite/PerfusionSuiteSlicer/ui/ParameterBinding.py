# SPDX-License-Identifier: Apache-2.0
"""The life of a parameter node in a panel: bound while the panel is shown, let go when the scene closes."""

from functools import partial

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin


class ParameterBinding(VTKObservationMixin):
    """Binds a panel's widgets to its parameter node.

    :param ui: the widgets, as slicer.util.childWidgetVariables returns them.
    :param getParameterNode: returns the module's parameter node of the current scene.
    :param onChanged: called without arguments after each change of the node, and when nodes have come to the scene or left it.
    :param choiceBoxes: ChoiceBox or NodeBox by the name of the parameter that it sets.
    """

    def __init__(self, ui, getParameterNode, onChanged, choiceBoxes=None):
        VTKObservationMixin.__init__(self)
        self.node = None
        self._ui = ui
        self._getParameterNode = getParameterNode
        self._onChanged = onChanged
        self._choiceBoxes = choiceBoxes or {}
        self._guiTag = None
        self._wasBound = False
        self._timer = qt.QTimer()  # of many nodes that come or go together the panel is told once
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._onNodesChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self._onSceneEndImport)
        for event in (slicer.mrmlScene.NodeAddedEvent, slicer.mrmlScene.NodeRemovedEvent):
            self.addObserver(slicer.mrmlScene, event, self._onSceneNode)

    def bind(self):
        """Show the node of the current scene; does nothing when it is shown already."""
        if self.node is not None:
            return
        self.node = self._getParameterNode()
        self._guiTag = self.node.connectGui(self._ui)
        self.addObserver(self.node, vtk.vtkCommand.ModifiedEvent, self._onNodeModified)
        for name, box in self._choiceBoxes.items():
            box.bind(partial(setattr, self.node, name))
        self._onNodeModified()

    def release(self):
        """Let the node go."""
        if self.node is None:
            return
        for box in self._choiceBoxes.values():
            box.bind(None)
        self.node.disconnectGui(self._guiTag)
        self.removeObserver(self.node, vtk.vtkCommand.ModifiedEvent, self._onNodeModified)
        self.node = None

    def cleanup(self):
        """Let everything go, when the module is unloaded."""
        self.release()
        self._timer.stop()
        self.removeObservers()

    def _onNodeModified(self, caller=None, event=None):
        for name, box in self._choiceBoxes.items():
            box.show(getattr(self.node, name))
        self._onChanged()

    def _onSceneStartClose(self, caller, event):
        self._wasBound = self.node is not None
        self.release()

    def _onSceneEndClose(self, caller, event):
        if self._wasBound:
            self.bind()

    def _onSceneEndImport(self, caller, event):
        # The node took over its parameters before the nodes that they name were there, and says no more when they come.
        if self.node is not None:
            self.release()
            self.bind()

    def _onSceneNode(self, caller, event):
        self._timer.start()

    def _onNodesChanged(self):
        if self.node is not None:
            self._onChanged()
