"""A simulation of many hosts and one store: the worker's own retry, pause and concurrency code, the rest modelled.

``python -m sim`` runs it; docs/SCALE.md has what came of it. Real are :class:`jollyae.worker.health.Health`,
:func:`jollyae.worker.retry.decide` and the table of :mod:`jollyae.processors.s3.faults`, on the simulation's clock and
random numbers. Modelled are S3 (:mod:`.store`), the network's delays, and what the worker does around that code
(:mod:`.host`). One seed, one result.
"""
