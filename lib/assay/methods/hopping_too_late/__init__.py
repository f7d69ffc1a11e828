"""Methods of Hopping Too Late (Biran et al. 2024): two-hop queries, the layers that solve them, and back-patching."""
