"""The content of a deployed cloud: what it should hold, compared with what its APIs say, and made so."""
