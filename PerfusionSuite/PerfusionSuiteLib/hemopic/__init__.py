# SPDX-License-Identifier: Apache-2.0
"""HemoPIC: regional hemodynamics of DSC-MRI."""
