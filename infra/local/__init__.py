"""The local cloud: the AWS APIs and a real PostgreSQL on this machine, with the sample community and the
product in it.

    python -m infra.local up | down | demo | status

`home` says where everything lies, `processes` and `postgres` start and stop it, `deploy` puts the stacks into
it, `up`, `down` and `demo` are what a person asks for. What differs from AWS stands as a comment where it
matters.
"""
