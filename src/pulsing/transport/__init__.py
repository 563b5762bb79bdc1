"""Bytes and requests between two addresses.

Owns the HTTP/2 connection between nodes, the port everybody arrives at, and TLS. Must not know
members, actors or what a body means.

Reading order: ``frames``, ``faults``, ``limits``, ``header_blocks`` (vocabulary); ``streams``,
``items``, ``connection_core`` and what it is made of, ``client_core``, ``server_core`` (the
connection, without I/O); ``shell``, ``link``, ``pool`` (asyncio around it); ``preface``,
``listener``, ``sniffing``, ``foreign`` (who arrives at the port); ``tls``.
"""
