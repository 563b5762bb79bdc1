"""How reliable clusters are: crashes, hangs, joins, losses and partitions of real processes.

``python -m benchmarks.reliability`` starts clusters of node processes, hurts them, and prints one
line for each row of figures: what was measured, how often, and whether the target was met.
``--short`` is for CI: small clusters, few repetitions.

Rows on the loopback interface run everywhere; those with loss and partitions need network
namespaces (root, iproute2, nftables), and are named as left out where there are none.

Reading order: ``figures`` (what a row found), ``rows`` (what a row is), ``world`` (the clusters),
``failures``, ``joins``, ``names``, ``losses`` and ``load`` (the rows), ``plot``.
"""
