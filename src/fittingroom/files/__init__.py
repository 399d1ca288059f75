"""How anything is written to disk and found there."""
