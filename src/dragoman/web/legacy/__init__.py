"""The calls by which the five earlier proxies were administered, as their scripts still make them.

``ROWS`` is the table of them (``rows``); ``Legacy`` (``application``) serves it. New things belong into
``web.api``. It must not know FastAPI.
"""
