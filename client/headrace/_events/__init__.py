"""The implementation of headrace.events: reading and consuming status events from RabbitMQ.

Only link.py imports pika, and headrace.broker.
"""
