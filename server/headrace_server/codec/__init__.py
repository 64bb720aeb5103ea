"""The conversion between domain values and messages of the contract, without a server.

It is for rpc, for amqp, and for whatever speaks protobuf next.
"""
