"""SQL in the data map: tables of one database, and how it is reached: docs/stores/sql.md."""

from typing import Literal

from pydantic import Field as Described
from pydantic import field_validator, model_validator

from dsr.datamap.kinds.base import ALL_MASKS, Kind, Statement, allow
from dsr.datamap.parts import MapCollection, Name, OwnedStore, RegionConnection
from dsr.datamap.plan import Collection, Store
from dsr.datamap.source import Problems

_ENGINES = Literal["postgres", "mysql", "mariadb"]


class SQLConnection(RegionConnection):
    """How the database is reached: by a secret, by a token of IAM, or by the RDS Data API."""

    secret: str | None = Described(
        None,
        description="the name in Secrets Manager: username, password, and unless the map says them engine,"
        " host, port, dbname; with `data_api` its ARN",
    )
    iam: str | None = Described(
        None,
        pattern=r"^(db|cluster|prx)-[A-Za-z0-9]+$",
        description="instead of a password a token of IAM; the resource id of the instance, cluster or proxy",
    )
    data_api: str | None = Described(
        None,
        pattern=r"^arn:[^:]+:rds:",
        description="the ARN of an Aurora PostgreSQL cluster with the Data API",
    )
    engine: _ENGINES | None = Described(None, description="above what the secret says")
    host: str | None = Described(None, description="above what the secret says")
    port: int | None = Described(None, gt=0, lt=65536, description="above what the secret says")
    database: str | None = Described(None, description="above what the secret says")
    user: str | None = Described(None, description="with `iam`: who signs in")
    read_endpoint: str | None = Described(None, description="the host of a replica, where copies are read")
    replica_secret: str | None = Described(None, description="the secret that leads to it, if another does")
    tls: Literal["verify-full", "require", "off"] | None = Described(
        None, description="`verify-full` with `ca`, else `require`; no TLS only on the same machine"
    )
    ca: str | None = Described(
        None, description="certificates in PEM that sign the server's, such as RDS's bundle of your region"
    )

    @field_validator("tls", mode="before")
    @classmethod
    def _off(cls, said: object) -> object:
        return "off" if said is False else said  # what YAML makes of a bare off

    @field_validator("ca")
    @classmethod
    def _is_pem(cls, ca: str | None) -> str | None:
        if ca is not None and "-----BEGIN CERTIFICATE-----" not in ca:
            raise ValueError('holds no certificate; fill it from the file: --set rds_ca="$(cat bundle.pem)"')
        return ca

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "SQLConnection":
        if self.data_api:
            self._needs("data_api", "secret", "database")
            if not str(self.secret).startswith("arn:"):
                raise ValueError("the Data API takes the ARN of the `secret`, not its name")
            if self.host or self.iam or self.read_endpoint or self.replica_secret:
                raise ValueError(
                    "the Data API reaches the writer alone: no `host`, `iam` or replica beside it"
                )
        elif self.iam:
            self._needs("iam", "engine", "host", "database", "user")
            if self.secret or self.replica_secret:
                raise ValueError("give either `secret` or `iam`")
            if self.tls == "off":
                raise ValueError("a token of IAM is a password: it needs TLS")
        elif not self.secret:
            raise ValueError("give `secret`, `iam` or `data_api`: as whom the database is asked")
        if self.tls == "verify-full" and not self.ca:
            raise ValueError("`tls: verify-full` needs `ca`: the certificates to check against")
        return self

    def _needs(self, word: str, *others: str) -> None:
        if missing := [other for other in others if getattr(self, other) is None]:
            raise ValueError(f"`{word}` needs {', '.join(f'`{other}`' for other in missing)} as well")


class SQLCollection(MapCollection):
    """A table or a view."""

    table: str = Described(description="sql: the table's name, with its schema where it is not the default")


class SQLStore(OwnedStore):
    """A database."""

    kind: Literal["sql"]
    connection: SQLConnection
    collections: dict[Name, SQLCollection] = Described(min_length=1)


def _check(collection: MapCollection, problems: Problems) -> None:
    """A column is looked up, named and masked whole; inside of JSON a value may only be withheld."""
    said = (
        "is a column's name: what stands inside of a JSON column can be withheld, but not looked up or masked"
    )
    for name in collection.key:
        if "." in name:
            problems.add(("key",), f"`{name}`: {said}")
    for name, field in collection.fields.items():
        if "." in name and (field.identity or field.references):
            word = "identity" if field.identity else "references"
            problems.add(("fields", name, word), f"`{name}`: {said}")
    for word in ("mask", "detach"):
        for name in getattr(collection.on_deletion, word, None) or {}:
            if "." in name:
                problems.add(("on_deletion", word, name), f"`{name}`: {said}")


def _statements(store: Store, _: list[Collection]) -> list[Statement]:
    said = store.connection
    home = f"{said['region']}:${{AWS::AccountId}}"
    if cluster := said.get("data_api"):
        calls = ("BeginTransaction", "CommitTransaction", "ExecuteStatement", "RollbackTransaction")
        return [
            allow([f"rds-data:{call}" for call in calls], [cluster]),
            allow(["secretsmanager:GetSecretValue"], [said["secret"]]),
        ]
    if resource := said.get("iam"):
        user = f"arn:${{AWS::Partition}}:rds-db:{home}:dbuser:{resource}/{said['user']}"
        return [allow(["rds-db:connect"], [{"Fn::Sub": user}])]
    # Secrets Manager adds a dash and six characters to the name.
    names = [said[word] for word in ("secret", "replica_secret") if word in said]
    secrets = [
        {"Fn::Sub": f"arn:${{AWS::Partition}}:secretsmanager:{home}:secret:{name}-??????"} for name in names
    ]
    return [allow(["secretsmanager:GetSecretValue"], secrets)]


KIND = Kind(
    SQLStore,
    masks=ALL_MASKS,
    restricts=True,
    check=_check,
    workers=("store-sql",),
    statements=_statements,
)
