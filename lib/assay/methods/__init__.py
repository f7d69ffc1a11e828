"""Methods: one file per published method, each a few functions over `assay.LM`. They measure; they claim nothing."""
