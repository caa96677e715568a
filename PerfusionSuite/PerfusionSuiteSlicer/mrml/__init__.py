# SPDX-License-Identifier: Apache-2.0
"""Values of the library as MRML nodes and back. The scene is always an argument; nothing here needs Qt or a window."""
