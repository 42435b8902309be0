"""What the torch packages share: sequence functions, random streams, checkpoints and the training runner.

Behind the extra ``torch``; nothing in the NumPy core imports it. Submodules are imported by name:

- ``ctd_contract.torch.sequences``: whole-sequence forms of the contract's kinds of dynamics;
- ``ctd_contract.torch.random``: generators keyed by seed, epoch and step;
- ``ctd_contract.torch.batches``: batches of tensors that stay on the device;
- ``ctd_contract.torch.checkpoint``: checkpoints of tensors and plain data, never a pickle;
- ``ctd_contract.torch.compiled``: loops over bins as machine code;
- ``ctd_contract.torch.training``: the Lightning runner.
"""

import os

# GNU's OpenMP lets its idle threads spin for milliseconds after an operation of torch, on the very cores that
# the threads of a sequence want next. It reads this when torch is loaded, so packages import this first.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
