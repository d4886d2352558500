"""What consumes from RabbitMQ beside jollyae."""
