"""`python -m ctd_benchmark` is the command `ctd-benchmark`."""

from ctd_benchmark.cli import main

main()
