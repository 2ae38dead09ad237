"""The steps from one schema to the next, oldest first, as alembic reads them; ``store.migrate`` runs them.

A released step is never edited. It takes its operations as an argument, runs inside a transaction that is
already open, and says with ``RUNS_ON`` which earlier releases still work on its result. It must not import
``store.schema``: that is the present, a step is the past.
"""
