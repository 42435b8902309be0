"""Inference files that fitted models give beside plain inference: ablation, samples, silence."""
