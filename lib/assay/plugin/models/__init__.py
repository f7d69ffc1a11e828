"""The models of a run: which ones, in which order, and which worker loads them."""
