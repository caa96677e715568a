# SPDX-License-Identifier: Apache-2.0
"""A node combo box for nodes of several classes, which a parameter node cannot be tied to by itself."""


class NodeBox:
    """Ties a node combo box to a parameter; the counterpart of ChoiceBox for nodes.

    :param comboBox: qMRMLNodeComboBox that lists the classes of nodes that are meant.
    """

    def __init__(self, comboBox):
        self._comboBox = comboBox
        self._onChosen = None
        comboBox.connect("currentNodeChanged(vtkMRMLNode*)", self._onNodeChanged)

    def bind(self, onChosen):
        """Call a function with the node whenever the user chooses; None stops it."""
        self._onChosen = onChosen

    def show(self, node):
        """Show a node without telling anybody."""
        onChosen, self._onChosen = self._onChosen, None
        self._comboBox.setCurrentNode(node)
        self._onChosen = onChosen

    def _onNodeChanged(self, node):
        if self._onChosen is not None:
            self._onChosen(node)
