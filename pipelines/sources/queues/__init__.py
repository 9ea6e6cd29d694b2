"""Queues that carry metrics: Kafka, Redis Streams and NATS JetStream behind one port."""
