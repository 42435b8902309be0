"""LFADS's decoder over all bins: the call, its fast paths and their slow twin."""
