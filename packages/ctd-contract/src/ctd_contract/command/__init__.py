"""What every command of the packages shares: configuration, run folder, exit codes, progress.

Needs the extra ``command`` (Hydra), which is imported only when a command starts.
"""

from ctd_contract.command.application import Command
from ctd_contract.command.config import CommandConfig
from ctd_contract.command.errors import RunFailed, UserError
from ctd_contract.command.progress import progress
from ctd_contract.command.run import Run

__all__ = ["Command", "CommandConfig", "Run", "RunFailed", "UserError", "progress"]
