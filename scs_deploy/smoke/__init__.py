"""The smoke test: a plain user of a project of its own does what users do, from outside the nodes."""
