"""`python -m ctd_tasks` is `ctd-tasks`."""

from ctd_tasks.cli import main

main()
