"""The management API below ``/api/v1``: people, keys, groups, providers, routes, prices, limits, usage, audit.

``application`` serves it, ``permissions`` says who may ask for what, ``resources`` has a module for each kind
of thing, ``desk`` is what they all work with. Model traffic never comes through here.
"""
