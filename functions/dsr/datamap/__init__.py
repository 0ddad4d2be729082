"""The data map: what is held about people, where, why, how long, and how to find one person in it.

`schema` and `compile` run at build time and need pydantic and PyYAML; `plan` is what ships.
"""
