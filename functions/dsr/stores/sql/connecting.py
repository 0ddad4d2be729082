"""From the map's connection to a database: whose credentials, which server, encrypted how.

secret              a secret in Secrets Manager, as RDS writes it; the map may add host and database
iam: db-…           a token of 15 minutes signed under the store's role instead of a password
data_api: arn       the RDS Data API: no network at all
read_endpoint, replica_secret    where copies are read; deletions and their verification never go there
"""

import json
import ssl
import tempfile
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.engine import URL, Engine

from dsr.aws import client_as
from dsr.datamap.plan import Store as StorePlan
from dsr.errors import StoreFault
from dsr.stores.sql.language import Language

# By the `engine` of the secret or the map: RDS's own words for it.
_POSTGRES = ("postgres", "postgresql", "aurora-postgresql")
_MYSQL = ("mysql", "mariadb", "aurora-mysql")
_PORTS = {"postgres": 5432, "mysql": 3306}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
CONNECT_SECONDS = 5

# Of a login that was refused, and a name that leads nowhere: faults of the set-up. libpq tells no SQLSTATE of
# a connection that failed, only PostgreSQL's words. In another language than this they are not known: then
# it is tried again, and the case stops without saying why.
_REFUSALS = {
    "password authentication failed": "login refused",
    "pam authentication failed": "login refused (IAM)",
    "is not permitted to log in": "login refused",
    "no pg_hba.conf entry": "login refused",
    "permission denied for database": "login refused",
    "does not exist": "login or database refused",
    "access denied for user": "login refused",
    "unknown database": "database",
    "could not translate host name": "no host of this name",
    "failed to resolve host": "no host of this name",
    "name or service not known": "no host of this name",
    "certificate verify failed": "the server's certificate is not signed by `ca`",
    "does not match host name": "the server's certificate is for another host",
    "does not support ssl": "the server offers no TLS",
    "ssl is required but the server doesn't support it": "the server offers no TLS",
}


def refusal(error: BaseException) -> str:
    """What is wrong with the set-up, by the words of a failed connection; "" for what may pass."""
    said = str(error).lower()
    return next((about for words, about in _REFUSALS.items() if words in said), "")


class Connector:
    """Makes the engine of one store: the database that is written, or the one where copies are read."""

    def __init__(self, store: StorePlan, replica: bool) -> None:
        self._store, self._replica = store, replica
        self._secret: dict[str, Any] | None = None

    def engine(self) -> tuple[Engine, Language]:
        """The engine, which connects when it is asked, and the language to ask it in. Raises StoreFault."""
        if "data_api" in self._store.connection:
            return self._data_api()
        target = self._target()
        dialect = _dialect(str(target.get("engine", "")))
        if not dialect:
            raise StoreFault("unsupported", f"{self._store.name}: engine in the secret or the map")
        options: dict[str, Any] = {
            "pool_size": 1,
            "max_overflow": 0,
            "pool_pre_ping": True,
            "pool_recycle": 300,
            "hide_parameters": True,  # SQLAlchemy would put the values into its exceptions' texts
        }
        if dialect == "postgres":
            from dsr.stores.sql.postgres import Postgres

            options |= {"use_native_hstore": False, "native_inet_types": False}
            engine = create_engine(URL.create("postgresql+psycopg"), **options)
            made: Language = Postgres()
        else:
            from dsr.stores.sql.mysql import MySQL

            engine = create_engine(URL.create("mysql+pymysql"), **options)
            made = MySQL()

        @event.listens_for(engine, "do_connect")
        def connect(_dialect: Any, _record: Any, _args: Any, arguments: dict[str, Any]) -> None:
            # Asked for every connection: a token is fresh, a password that was changed is read again.
            arguments.update(self._arguments(dialect))

        return engine, made

    def forget(self) -> None:
        """The login was refused: the secret is read again."""
        self._secret = None

    def server(self) -> str:
        """Where it was looked for, in the words of a fault."""
        target = self._target()
        return f"{target.get('host', '')}:{target.get('port') or _PORTS[_dialect(str(target.get('engine')))]}"

    def _target(self) -> dict[str, Any]:
        """Where and as whom: what the secret says, and above it what the map says."""
        said = self._store.connection
        known = dict(self._read_secret()) if "secret" in said else {}
        words = {"engine": "engine", "host": "host", "port": "port", "database": "dbname", "user": "username"}
        known |= {inside: said[word] for word, inside in words.items() if word in said}
        if self._replica and "read_endpoint" in said:
            known["host"] = said["read_endpoint"]
        return known

    def _read_secret(self) -> dict[str, Any]:
        if self._secret is None:
            said = self._store.connection
            name = said["replica_secret"] if self._replica and "replica_secret" in said else said["secret"]
            try:
                secrets = client_as(self._store.access, "secretsmanager")
                self._secret = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "ResourceNotFoundException":
                    raise StoreFault("missing_connection", f"{self._store.name}: secret") from None
                if code in ("AccessDenied", "AccessDeniedException"):
                    about = f"{self._store.name}: {error.operation_name}"
                    raise StoreFault("missing_permission", about) from None
                raise
            except (ValueError, KeyError):
                raise StoreFault("missing_connection", f"{self._store.name}: secret is not JSON") from None
        assert self._secret is not None  # noqa: S101
        return self._secret

    def _arguments(self, dialect: str) -> dict[str, Any]:
        target = self._target()
        missing = [word for word in ("host", "username", "dbname") if not target.get(word)]
        if missing:
            about = f"{self._store.name}: neither secret nor map say {', '.join(missing)}"
            raise StoreFault("missing_connection", about)
        host, port = target["host"], int(target.get("port") or _PORTS[dialect])
        password = target.get("password", "")
        if "iam" in self._store.connection:
            signer = client_as(self._store.access, "rds")
            password = signer.generate_db_auth_token(
                DBHostname=host, Port=port, DBUsername=target["username"]
            )
        common = {"host": host, "port": port, "user": target["username"], "password": password}
        common["connect_timeout"] = CONNECT_SECONDS
        if dialect == "postgres":
            return common | {"dbname": target["dbname"], "prepare_threshold": None} | self._libpq_tls(host)
        return common | {"database": target["dbname"], "charset": "utf8mb4"} | self._context(host)

    # -- TLS -----------------------------------------------------------------------------------------

    def _tls(self, host: str) -> str:
        """off, require or verify-full. Encrypted unless the map says off, or it never leaves the machine."""
        said = str(self._store.connection.get("tls", ""))
        if said:
            return said
        if "ca" in self._store.connection:
            return "verify-full"
        return "off" if host in _LOOPBACK or host.startswith("/") else "require"

    def _libpq_tls(self, host: str) -> dict[str, Any]:
        how = self._tls(host)
        if how == "verify-full":
            return {"sslmode": how, "sslrootcert": _file(self._store.connection["ca"])}
        return {"sslmode": "disable" if how == "off" else how}

    def _context(self, host: str) -> dict[str, Any]:
        how = self._tls(host)
        if how == "off":
            return {"ssl_disabled": True}
        if how == "verify-full":
            return {"ssl": ssl.create_default_context(cadata=self._store.connection["ca"])}
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return {"ssl": context}

    # -- the Data API --------------------------------------------------------------------------------

    def _data_api(self) -> tuple[Engine, Language]:
        from dsr.stores.sql import data_api
        from dsr.stores.sql.postgres import Postgres

        said = self._store.connection
        target = {"resourceArn": said["data_api"], "secretArn": said["secret"], "database": said["database"]}
        registry.register("postgresql.data_api", data_api.__name__, "Dialect")

        def connect() -> Any:
            return data_api.Connection(
                lambda: client_as(self._store.access, "rds-data"), self._store.name, target
            )

        engine = create_engine(
            "postgresql+data_api://", creator=connect, module=data_api, pool_size=1, hide_parameters=True
        )
        return engine, Postgres(pages=DATA_API_PAGE, at_once=DATA_API_ROWS)


DATA_API_PAGE = 250  # rows a page to begin with: fewer where an answer would be too large
DATA_API_ROWS = 2000  # rows that one statement names


def _dialect(engine: str) -> str:
    return "postgres" if engine in _POSTGRES else "mysql" if engine in _MYSQL else ""


@cache
def _file(content: str) -> str:
    """The path of a file with this content: libpq reads certificates from files alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(content)
    return file.name
