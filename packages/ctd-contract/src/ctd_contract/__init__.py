"""The HDF5 data contract of computation through dynamics: read, write, validate and convert trials, signals and dynamics."""
