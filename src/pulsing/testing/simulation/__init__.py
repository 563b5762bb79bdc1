"""A cluster in a simulated world: real cores, one virtual clock, a network made of dice.

Owns: the world that cores are put into for tests and measurements, what must hold in it at every
step, the faults it knows, and the scenarios that tests, the command and the benchmarks share. Must
not know: sockets, event loops, and how a core decides. Read: ``network``, ``process``, ``history``;
``observations``, ``safety`` (what is measured and checked); ``stage``, ``requests``, ``world`` (the
events); ``simulation`` (the handle), ``visibility``; ``faults``, ``scenarios``; ``report``,
``plot``.

>>> simulation = Simulation(5, seed=7, loss=0.1)
>>> _ = simulation.run_until(simulation.converged, within_s=30)
>>> simulation.kill(2)
>>> _ = simulation.run_until(simulation.converged, within_s=30)
"""

from .history import SafetyViolation
from .observations import Departure, FalseDeath
from .simulation import Simulation

__all__ = ["Departure", "FalseDeath", "SafetyViolation", "Simulation"]
