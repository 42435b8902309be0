import os
import subprocess
import sys

CODE = """
import numpy as np
from ctd_contract.torch.compiled.products import multiply
a, b, found = np.arange(35.0).reshape(5, 7), np.arange(21.0).reshape(7, 3), np.zeros((5, 3))
for _ in range(3):
    multiply(found, a, b, False, False, False)
    assert np.array_equal(found, a @ b), found
"""


def test_products_read_no_memory_that_is_given_back():
    """The C library of Linux, told so, overwrites what is given back at once; others may anyway."""
    overwrite = {"MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=os.environ | overwrite, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
