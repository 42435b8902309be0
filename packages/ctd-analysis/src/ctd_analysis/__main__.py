"""`python -m ctd_analysis` is the command `ctd-analysis`."""

from ctd_analysis.cli import main

if __name__ == "__main__":
    main()
