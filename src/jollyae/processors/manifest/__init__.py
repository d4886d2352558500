"""Manifests: lists of what was delivered, as batch engines read them. Messages about deliveries
(:mod:`jollyae.processors.notify`) are gathered into batches, and each batch becomes a file for a further spool.
"""
