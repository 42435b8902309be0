"""`python -m ctd_sim` is the command `ctd-sim`."""

from ctd_sim.cli import main

main()
