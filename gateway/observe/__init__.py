"""What is told about requests: listeners on the events, and nothing else."""
