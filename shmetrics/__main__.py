# SPDX-License-Identifier: Apache-2.0
"""`python -m shmetrics` is the command `shmetrics`."""

import sys

from shmetrics.cli import main

if __name__ == "__main__":
    sys.exit(main())
