"""What lasts: people, keys, configuration kept in the database, and the ledger. SQLite or PostgreSQL.

It must not know wires, providers or HTTP.
"""
