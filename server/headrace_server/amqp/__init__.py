"""Events on RabbitMQ: the only room that knows pika."""
