"""Measured numbers: metrics, their files, their comparison and tiers. Nothing here uses pytest or loads a model."""
