# SPDX-License-Identifier: Apache-2.0
"""The published neural-field methods SPPINN and ReSPPINN, implemented independently from their descriptions.

The modules here import PyTorch and are imported by `fitting.sppinn` and `fitting.resppinn` when a fit starts; `choices` and
`sampling` do without it.
"""
