"""The whole chain on one machine: hosts with spools, Ceph RGW, its notifications, RabbitMQ, hosts with workers.

``make demo-cluster`` shows it; ``tests/real/test_chain.py`` judges it.
"""
