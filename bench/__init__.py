"""Measurements with a stopwatch."""
