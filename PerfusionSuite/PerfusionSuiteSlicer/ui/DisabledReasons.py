# SPDX-License-Identifier: Apache-2.0
"""Controls that make no sense for a scan are off and say why; otherwise they say what they do."""


class DisabledReasons:
    """Remembers what controls say when they can be used."""

    def __init__(self):
        self._own = {}

    def set(self, control, reason):
        """Switch a control off with a reason, or on with an empty one.

        :param control: a widget of the panel.
        :param reason: why it cannot be used, or an empty text.
        """
        key = control.objectName
        if reason:
            self._own.setdefault(key, control.toolTip)
            control.toolTip = reason
        elif key in self._own:
            control.toolTip = self._own.pop(key)
        control.enabled = not reason
