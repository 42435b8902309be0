"""The bins of all regions one after another: the call, its fast path and its slow twin."""
