-- Tables of CraftZone's three PostgreSQL databases (17 or later). Run by psql as it stands, as an owner who may create
-- roles and databases, or by infra.craftzone.load, which reads the same \connect lines.
--
-- The databases use the built-in C.UTF-8 locale, so that lower() treats all of Unicode, and the same way on every machine.
-- An index on lower(address) serves each field that the map matches in lower case; an index on a date serves its retention.

CREATE ROLE dsr LOGIN;  -- of the product: reads, masks and deletes; its password is set apart from this file
CREATE DATABASE events TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';
CREATE DATABASE support TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';
CREATE DATABASE site TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';

\connect events

REVOKE ALL ON DATABASE events FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE events TO dsr;
GRANT USAGE ON SCHEMA public TO dsr;

CREATE TABLE event_entries (
    entry_id uuid PRIMARY KEY,
    event text NOT NULL,
    member_id text,  -- null for guests
    name text NOT NULL,
    contact_number text,
    contract_number text,
    email text NOT NULL,  -- as typed, never confirmed
    mailing_address text[] NOT NULL,
    entered_at timestamptz NOT NULL
);
CREATE INDEX event_entries_email ON event_entries (lower(email));
CREATE INDEX event_entries_member ON event_entries (member_id, entry_id);
CREATE INDEX event_entries_entered_at ON event_entries (entered_at);

CREATE TABLE artworks (
    artwork_id bigint PRIMARY KEY,
    entry_id uuid NOT NULL REFERENCES event_entries (entry_id),
    title text NOT NULL,
    object_key text,  -- null while the upload is not finished
    posted_at timestamptz NOT NULL
);
CREATE INDEX artworks_entry ON artworks (entry_id, artwork_id);
CREATE INDEX artworks_object ON artworks (object_key);

CREATE TABLE rewards (
    reward_id text PRIMARY KEY,
    -- A reward's papers are kept for years after the entry is gone, and then no longer say whose it was.
    entry_id uuid REFERENCES event_entries (entry_id) ON DELETE SET NULL,
    reward text NOT NULL,
    value numeric(10, 2) NOT NULL,
    courier text,
    tracking_number text,
    sent_at timestamptz NOT NULL
);
CREATE INDEX rewards_entry ON rewards (entry_id, reward_id);
CREATE INDEX rewards_sent_at ON rewards (sent_at);

GRANT SELECT, UPDATE, DELETE ON event_entries, artworks, rewards TO dsr;

\connect support

REVOKE ALL ON DATABASE support FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE support TO dsr;
GRANT USAGE ON SCHEMA public TO dsr;

CREATE TABLE tickets (
    ticket_id bigint PRIMARY KEY,
    opened_by text,  -- null once the person who opened it is detached
    opened_phone text,
    topic text NOT NULL,
    opened_at timestamptz NOT NULL
);
CREATE INDEX tickets_opened_by ON tickets (lower(opened_by));
CREATE INDEX tickets_opened_at ON tickets (opened_at);

CREATE TABLE ticket_messages (
    message_id uuid PRIMARY KEY,
    ticket_id bigint NOT NULL REFERENCES tickets (ticket_id),
    author_email text,  -- null for an answer of the staff
    author_phone text,
    body text NOT NULL,
    written_at timestamptz NOT NULL
);
CREATE INDEX ticket_messages_author ON ticket_messages (lower(author_email));
CREATE INDEX ticket_messages_ticket ON ticket_messages (ticket_id);
CREATE INDEX ticket_messages_written_at ON ticket_messages (written_at);

GRANT SELECT, UPDATE, DELETE ON tickets, ticket_messages TO dsr;

\connect site

REVOKE ALL ON DATABASE site FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE site TO dsr;
GRANT USAGE ON SCHEMA public TO dsr;

CREATE TABLE visits (
    visit_id bigint PRIMARY KEY,
    member_id text NOT NULL,
    at timestamptz NOT NULL,
    page text NOT NULL,
    device jsonb NOT NULL
);
CREATE INDEX visits_member ON visits (member_id, visit_id);
CREATE INDEX visits_at ON visits (at);

GRANT SELECT, UPDATE, DELETE ON visits TO dsr;
