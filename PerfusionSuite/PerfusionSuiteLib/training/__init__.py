# SPDX-License-Identifier: Apache-2.0
"""Training of what methods start from, on digital patients or a user's own scans."""
