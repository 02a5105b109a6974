"""Simulated nodes for measurements: real sshd, Python and files in roots of their own; engine and systemd only repeat what was recorded."""
