"""Running models in a process of their own, so that one which crashes, hangs or eats memory takes only that process along.

The child is ``python -m edge_node.worker``, not ``multiprocessing``: spawning would import the program's main module again
(the app's window with it), forking copies threads and locks, and both unpickle what the child sends. A child that runs a
hostile model is believed nothing but numbers and short texts, which are checked on arrival.
"""
