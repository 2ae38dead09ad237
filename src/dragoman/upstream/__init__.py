"""Providers: where to send, how to sign, and the HTTP client that does it.

It must not know any client of ours nor translate anything; dialects belong to ``language``.

The names the relay uses::

    from dragoman.upstream.resolution import Resolved, Resolver
    from dragoman.upstream.providers import PROVIDERS, Provider, make_providers
    from dragoman.upstream.client import UpstreamAnswer, UpstreamClient
    from dragoman.upstream.calls import UpstreamCall, UpstreamTrouble

    resolver = Resolver(settings)
    providers = make_providers(settings)                # {name: Provider}
    client = UpstreamClient()                           # inside a running loop; await client.close()

    target = resolver.resolve(model, surface="anthropic")         # raises Refused
    provider = providers[target.provider_name]
    profile = provider.profile(target.upstream_model, "anthropic", request, family=target.family)
    call = await provider.call(profile, target.upstream_model, body, stream=True,
                               client_headers=headers, surface="anthropic")   # raises UpstreamTrouble
    async with await client.open(call, connect_timeout=5, first_byte_timeout=600) as answer:
        answer.status, answer.headers
        async for chunk in answer.chunks(idle_timeout=600): ...
"""
