"""Methods of Chen et al. 2025: persona vectors from a model's own responses, steering with them, and monitoring."""
