"""Proofs: what the program promises, shown on real nodes. Tests and bench/ import from here; nothing here imports from them."""
