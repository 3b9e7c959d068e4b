# SPDX-License-Identifier: GPL-2.0-only
"""Entry point of `python3 tools/lab`."""

import sys

import cli

sys.exit(cli.main())
