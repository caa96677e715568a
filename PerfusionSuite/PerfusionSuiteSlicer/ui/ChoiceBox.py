# SPDX-License-Identifier: Apache-2.0
"""A combo box that shows words for people and keeps names for settings."""


class ChoiceBox:
    """Fills a combo box from the catalog and ties it to a text parameter.

    :param comboBox: QComboBox of the panel.
    :param choices: entries of PerfusionSuiteLib.core.catalog.
    :param default: name that an empty parameter stands for.
    """

    def __init__(self, comboBox, choices, default):
        self._comboBox = comboBox
        self._names = [choice.name for choice in choices]
        self._default = default
        self._onChosen = None
        comboBox.addItems([choice.label for choice in choices])
        comboBox.toolTip = "\n".join(f"{choice.label}: {choice.description}" for choice in choices)
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def bind(self, onChosen):
        """Call a function with the name whenever the user chooses; None stops it."""
        self._onChosen = onChosen

    def show(self, name):
        """Show a name without telling anybody."""
        onChosen, self._onChosen = self._onChosen, None
        known = name if name in self._names else self._default
        self._comboBox.currentIndex = self._names.index(known)
        self._onChosen = onChosen

    def _onIndexChanged(self, index):
        if self._onChosen is not None:
            self._onChosen(self._names[index])
