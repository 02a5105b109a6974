"""What a node itself tells of a change, asked without the program: what was written on it, and what was started, stopped or reloaded."""
