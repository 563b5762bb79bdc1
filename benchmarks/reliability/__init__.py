"""How reliable a cluster is: rows that take minutes, each printed as one line."""
