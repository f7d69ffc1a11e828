"""Methods of sycophancy papers (Rimsky et al. 2024 and others): vectors of behaviours, and what adding them does."""
