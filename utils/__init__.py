"""Everything the numbered scripts call: one module per idea."""
