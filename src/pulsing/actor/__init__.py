"""Actors: what users program with, and the runtime under it.

Owns classes, proxies, references, mailboxes and the composition root `ActorSystem`. Must not know
HTTP frames or sockets. Reading order, from the outside: ``api``, ``system``, ``spawning``,
``hosting``, ``remote``, ``declare``, ``methods``, ``proxy``, ``handles``, ``place``, ``refs``,
``call``; then the runtime: ``cell``, ``dispatcher``, ``runner``, ``steps``, ``threads``,
``producers``, ``lifecycle``, ``timers``; what is built on it: ``behaviors``, ``scheduling``,
``family``, ``kinship``, ``watching``, ``watch``, ``watch_core``, ``naming``, ``groups``,
``dead_letters``, ``chain``, ``carried``, ``trace``, ``retrying``, ``once``;
actors in processes: ``process_host``, ``stand_in``, ``actor_process``, ``process_link``,
``process_start``, ``process_child``;
then what happens between nodes: ``travel``, ``describe`` and the ``remote_*`` files.
"""
