"""What headrace.events shows: status events from RabbitMQ, read and consumed. Only link.py and address.py know pika."""
