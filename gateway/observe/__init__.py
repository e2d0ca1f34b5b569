"""What is told about requests: listeners on the events, and nothing else."""

# Telemetry has so many seconds to deliver what it holds when the gateway stops.
FLUSH = 5.0
