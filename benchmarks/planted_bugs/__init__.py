"""Do the checks find bugs? Mistakes are planted in copies of the cores, and then looked for.

``bugs`` has the list: typical mistakes of such protocols, as replacements in the source. ``copies``
makes cores with one of them, beside the real ones. ``checks`` has what they must pass: the checks
of the simulation, in storms and in the scenarios whose figures are promised.
``python -m benchmarks.planted_bugs`` prints which check found which bug.
"""
