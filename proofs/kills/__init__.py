"""Kill points: a change of a region is interrupted at a seeded moment, done again, and ends where an undisturbed one does."""
