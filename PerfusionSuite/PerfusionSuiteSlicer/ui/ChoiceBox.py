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
        self._names = []
        self._onChosen = None
        self.offer(choices, default)
        comboBox.connect("currentIndexChanged(int)", self._onIndexChanged)

    def offer(self, choices, default):
        """Offer other choices, without telling anybody; nothing happens when they are offered already.

        :param choices: entries of PerfusionSuiteLib.core.catalog.
        :param default: name that an empty or unknown parameter stands for.
        """
        names = [choice.name for choice in choices]
        self._default = default
        if names == self._names:
            return
        onChosen, self._onChosen = self._onChosen, None
        self._names = names
        self._comboBox.clear()
        self._comboBox.addItems([choice.label for choice in choices])
        self._comboBox.toolTip = "\n".join(f"{choice.label}: {choice.description}" for choice in choices)
        self._onChosen = onChosen

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
