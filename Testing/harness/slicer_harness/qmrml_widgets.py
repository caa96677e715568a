# SPDX-License-Identifier: Apache-2.0
"""How the stand-ins of qMRML and qSlicer widgets behave."""

import slicer
import vtk
from PySide6 import QtGui, QtWidgets

from .standins import behaviour, resolve


class SceneAware:
    def _do_mrmlScene(self):
        return self.__dict__.get("_scene")

    def _do_setMRMLScene(self, scene):
        if scene is self.__dict__.get("_scene"):
            return
        self.__dict__["_scene"] = scene
        self._scene_changed()
        if hasattr(self, "mrmlSceneChanged"):
            self.mrmlSceneChanged.emit(scene)

    def _scene_changed(self):
        pass


@behaviour("qMRMLWidget")
class MRMLWidget(SceneAware):
    pass


@behaviour("qMRMLNodeComboBox")
class NodeComboBox(SceneAware):
    """Lists the scene's nodes of the wanted types, as the real widget does."""

    def _build(self):
        d = self.__dict__
        d.update(
            _p_nodeTypes=[],
            _p_showChildNodeTypes=True,
            _p_addEnabled=True,
            _p_removeEnabled=True,
            _p_noneDisplay="None",
            _p_selectNodeUponCreation=False,
            _nodes=[],
            _current=None,
            _attributes=[],
            _tags=[],
            _basenames={},
        )
        lay = QtWidgets.QHBoxLayout(self)
        lay.setContentsMargins(0, 0, 0, 0)
        d["_combo"] = QtWidgets.QComboBox()
        lay.addWidget(self._combo)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._combo.activated.connect(self._picked)
        self._combo.setEnabled(False)

    def _scene_changed(self):
        scene = self._scene
        if scene is not None:
            for ev in (slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent):
                self._tags.append(scene.AddObserver(ev, self._on_scene_node))
            for ev in (
                slicer.vtkMRMLScene.EndImportEvent,
                slicer.vtkMRMLScene.EndCloseEvent,
                slicer.vtkMRMLScene.EndBatchProcessEvent,
            ):
                self._tags.append(scene.AddObserver(ev, lambda *a: self._refill()))
        self._combo.setEnabled(scene is not None)
        self._refill()

    def __del__(self):
        pass

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_scene_node(self, caller, event, node):
        import shiboken6

        if not shiboken6.isValid(self):
            return
        if not self._scene.IsBatchProcessing():
            self._refill(first=False)
            if event == "NodeAddedEvent" and self._accepts(node):
                self.nodeAdded.emit(node)

    def _accepts(self, node):
        types_ = list(self.nodeTypes or [])
        if node is None or (node.GetHideFromEditors() and not self.showHidden):
            return False
        cls = node.GetClassName()
        for hidden in self.hideChildNodeTypes or []:
            if node.IsA(hidden):
                return False
        if not any(node.IsA(t) if self.showChildNodeTypes else cls == t for t in types_):
            return False
        for t, name, value in self._attributes:
            if node.IsA(t) and (node.GetAttribute(name) is None or (value is not None and node.GetAttribute(name) != str(value))):
                return False
        return True

    def _refill(self, first=True):
        scene, c = self._do_mrmlScene(), self._combo
        nodes = [] if scene is None else [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        self.__dict__["_nodes"] = nodes = [n for n in nodes if self._accepts(n)]
        current = self._current if self._current in nodes else None
        # a node that comes later is not selected by itself; those there at the start are
        if current is None and first and not self.noneEnabled and nodes:
            current = nodes[0]
        c.blockSignals(True)
        c.clear()
        if self.noneEnabled:
            c.addItem(self.noneDisplay, "none")
        for n in nodes:
            c.addItem(n.GetName(), n.GetID())
        if not nodes and not self.noneEnabled:
            c.setCurrentIndex(-1)
            types_ = list(self.nodeTypes or [])
            c.setPlaceholderText(f"Select a {types_[0].replace('vtkMRML', '').replace('Node', '')}" if types_ else "")
        c.blockSignals(False)
        self._select(current)

    def _select(self, node):
        c = self._combo
        c.blockSignals(True)
        c.setCurrentIndex(c.findData(node.GetID()) if node is not None else (0 if self.noneEnabled else -1))
        c.blockSignals(False)
        if node is self._current:
            return
        self.__dict__["_current"] = node
        self.currentNodeChanged.emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _picked(self, i):
        data = self._combo.itemData(i)
        self._select(None if data == "none" else self._scene.GetNodeByID(data))
        self.nodeActivated.emit(self._current)

    def _get_currentNodeID(self):
        return self._current.GetID() if self._current else ""

    _get_currentNodeId = _get_currentNodeID

    def _set_currentNodeID(self, v):
        self._do_setCurrentNode(v)

    def _do_setCurrentNodeID(self, v):
        self._do_setCurrentNode(v)

    def _do_setCurrentNode(self, node):
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._do_mrmlScene() and node else None
        if node is not None and node not in self._nodes:
            node = None
        self._select(node)

    def _do_setCurrentNodeIndex(self, i):
        self._select(self._nodes[i] if 0 <= i < len(self._nodes) else None)

    def _do_currentNode(self):
        return self._current

    def _do_nodeCount(self):
        return len(self._nodes)

    def _do_nodeFromIndex(self, i):
        return self._nodes[i] if 0 <= i < len(self._nodes) else None

    def _do_addAttribute(self, nodeType, name, value=None):
        self._attributes.append((nodeType, name, value))
        self._refill()

    def _do_removeAttribute(self, nodeType, name):
        self.__dict__["_attributes"] = [a for a in self._attributes if a[:2] != (nodeType, name)]
        self._refill()

    def _do_addNode(self, nodeType=None):
        t = nodeType or next(iter(self.nodeTypes))
        scene = self._scene
        name = self.baseName or t.replace("vtkMRML", "").replace("Node", "")
        node = scene.AddNewNodeByClass(t, scene.GenerateUniqueName(name))
        for _type, n, v in self._attributes:
            node.SetAttribute(n, str(v) if v is not None else "")
        self._refill()
        if self.selectNodeUponCreation:
            self._select(node)
        self.nodeAddedByUser.emit(node)
        return node

    def _do_removeCurrentNode(self):
        if self._current:
            self._scene.RemoveNode(self._current)

    def _set_nodeTypes(self, v):
        self._refill(first=False)

    _set_noneEnabled = _set_showHidden = _set_showChildNodeTypes = _set_hideChildNodeTypes = _set_noneDisplay = _set_nodeTypes


@behaviour("qSlicerModuleManager")
class ModuleManager:
    def _do_module(self, name):
        return getattr(slicer.modules, name.lower(), None)

    def _do_modulesNames(self):
        return tuple(sorted(vars(slicer.moduleNames)[n] for n in vars(slicer.moduleNames) if not n.startswith("__")))

    def _do_factoryManager(self):
        return self.__dict__.setdefault("_factory", resolve("qSlicerModuleFactoryManager")())


@behaviour("qMRMLSegmentSelectorWidget")
class SegmentSelector(SceneAware):
    def _build(self):
        lay = QtWidgets.QVBoxLayout(self)
        lay.setContentsMargins(0, 0, 0, 0)
        combo = resolve("qMRMLNodeComboBox")(self)
        combo.nodeTypes = ["vtkMRMLSegmentationNode"]
        self.__dict__.update(_node=combo, _seg=QtWidgets.QComboBox())
        lay.addWidget(combo)
        lay.addWidget(self._seg)
        combo.currentNodeChanged.connect(self._node_changed)
        self._seg.currentIndexChanged.connect(lambda i: self.currentSegmentChanged.emit(self._do_currentSegmentID()))

    def _scene_changed(self):
        self._node._do_setMRMLScene(self._scene)

    def _node_changed(self, node):
        self._seg.clear()
        if node:
            for sid in node.GetSegmentation().GetSegmentIDs():
                self._seg.addItem(node.GetSegmentation().GetSegment(sid).GetName(), sid)
        self.currentNodeChanged.emit(node)

    def _do_currentNode(self):
        return self._node._current

    def _do_setCurrentNode(self, node):
        self._node._do_setCurrentNode(node)

    def _do_currentSegmentID(self):
        return self._seg.itemData(self._seg.currentIndex) or ""

    def _do_setCurrentSegmentID(self, sid):
        self._seg.setCurrentIndex(self._seg.findData(sid))


@behaviour("qMRMLTableView")
class TableView(SceneAware):
    def _do_setMRMLTableNode(self, node):
        self.__dict__["_table"] = node
        if node is None:
            self.setModel(None)
            return
        m = QtGui.QStandardItemModel(self)
        t = node.GetTable()
        m.setHorizontalHeaderLabels([t.GetColumnName(c) or "" for c in range(t.GetNumberOfColumns())])
        for r in range(t.GetNumberOfRows()):
            m.appendRow([QtGui.QStandardItem(t.GetValue(r, c).ToString()) for c in range(t.GetNumberOfColumns())])
        self.setModel(m)

    def _do_mrmlTableNode(self):
        return self.__dict__.get("_table")
