"""What every service runs on: Kafka, brokers, processes, telemetry."""
