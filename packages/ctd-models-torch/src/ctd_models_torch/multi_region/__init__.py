"""MR-LFADS: one LFADS per brain region, with inferred messages between the regions."""
