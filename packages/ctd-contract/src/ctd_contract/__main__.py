"""`python -m ctd_contract` is the command `ctd-contract`."""

import sys

from .cli import main

sys.exit(main())
