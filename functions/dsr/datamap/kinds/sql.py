"""SQL in the data map: tables of one database, reached by the secret that names it."""

from typing import Literal

from pydantic import Field as Described

from dsr.datamap.kinds.base import Kind, Statement, allow
from dsr.datamap.parts import MapCollection, Name, OwnedStore, RegionConnection
from dsr.datamap.plan import Collection, Store


class SQLConnection(RegionConnection):
    """How the database is reached."""

    secret: str = Described(description="the name in Secrets Manager: host, port, dbname, username, password")


class SQLCollection(MapCollection):
    """A table."""

    table: str = Described(description="sql: the table's name, with its schema where it is not the default")


class SQLStore(OwnedStore):
    """A database."""

    kind: Literal["sql"]
    connection: SQLConnection
    collections: dict[Name, SQLCollection] = Described(min_length=1)


def _statements(store: Store, _: list[Collection]) -> list[Statement]:
    # Secrets Manager adds a dash and six characters to the name.
    secret = (
        f"arn:${{AWS::Partition}}:secretsmanager:{store.connection['region']}:${{AWS::AccountId}}"
        f":secret:{store.connection['secret']}-??????"
    )
    return [allow(["secretsmanager:GetSecretValue"], [{"Fn::Sub": secret}])]


KIND = Kind(SQLStore, masks=frozenset({"null", "redacted"}), workers=("store-sql",), statements=_statements)
