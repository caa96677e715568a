# SPDX-License-Identifier: Apache-2.0
"""The four base classes of a scripted module, as small as the panels of this extension need them."""

import unittest
from pathlib import Path

import qt
import slicer


class ScriptedLoadableModule:
    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__

    def runTest(self, msec=0):
        module = __import__(self.moduleName)
        case = getattr(module, f"{self.moduleName}Test")()
        case.setUp()
        case.runTest()
        case.tearDown()


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def setup(self):
        self.developerMode = False

    def resourcePath(self, filename):
        module = slicer.app.moduleManager().module(self.moduleName)
        return str(Path(module.path).parent / "Resources" / filename)

    def cleanup(self):
        pass


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag(self.moduleName)
            node.SetModuleName(self.moduleName)
            node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
            node = slicer.mrmlScene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def runTest(self):
        raise AssertionError("A module's test class says what its test does")

    def delayDisplay(self, message, msec=0):
        qt.QApplication.processEvents()
