"""SQL databases: PostgreSQL, MySQL and MariaDB through SQLAlchemy Core, Aurora also through the RDS Data API.

store       the verbs: find, erase, expired, sample, check
connecting  from the map's connection to a database: credentials, TLS, replica; what a failed login means
tables      what a table is like by the database's own word, and whether the map's words about it hold
postgres    the statements of PostgreSQL, which makes the JSON itself
mysql       the statements of MySQL and MariaDB
data_api    PostgreSQL without a network: a driver over the RDS Data API
"""

from dsr.stores.sql.store import SQLStore

__all__ = ["SQLStore"]
