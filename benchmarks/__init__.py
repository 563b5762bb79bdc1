"""The benchmark harness: how fast Pulsing is, against a raw socket on the same machine.

``python -m benchmarks`` starts a server process beside this client process and measures every
item, interleaved over rounds, so that each ratio compares figures taken within a second or two.

Reading order: ``registry`` (what a benchmark and a target are), ``slices`` (what one measurement
is), ``raw`` and ``raw_bulk`` (the yardsticks), ``actors`` (the actors that are called), ``server``
and ``env`` (both ends), ``items/`` (the benchmarks, one small function each), ``harness``
(rounds), ``results``, ``report`` and ``plot`` (ratios, tables, JSON, SVG). Items use nothing of
Pulsing but its public API.
"""
