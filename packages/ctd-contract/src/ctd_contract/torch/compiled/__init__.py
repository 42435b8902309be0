"""Loops over bins as machine code, for a CPU: compiled by numba at their first use and kept on disk.

A bin's arithmetic is small, so what a loop of torch's operations spends between them counts, and threads that
work side by side wait for the interpreter's lock. These loops hold no lock, and make one pass over a bin
where torch makes several. Loops of torch's operations do the same on a GPU; loops of cells are the oracle.
"""
