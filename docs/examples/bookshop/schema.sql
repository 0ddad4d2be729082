-- A bookshop's database, as its engineers made it: the start of docs/example.md.
CREATE TABLE reader (
    reader_id   integer PRIMARY KEY,
    email       text NOT NULL,
    full_name   text,
    created_at  timestamptz NOT NULL
);
CREATE INDEX reader_email ON reader (lower(email));

CREATE TABLE purchase (
    purchase_id  integer PRIMARY KEY,
    reader_id    integer REFERENCES reader,
    gift_email   text,
    ship_street  text,
    ship_city    text,
    total        numeric(8, 2) NOT NULL,
    paid_at      timestamptz NOT NULL
);
CREATE INDEX purchase_reader ON purchase (reader_id);

CREATE TABLE review (
    review_id   integer PRIMARY KEY,
    reader_id   integer REFERENCES reader,
    answers     integer REFERENCES review,
    body        text NOT NULL,
    posted_at   timestamptz NOT NULL
);
CREATE INDEX review_reader ON review (reader_id);
CREATE INDEX review_answers ON review (answers);

CREATE TABLE stock (
    isbn    text PRIMARY KEY,
    copies  integer NOT NULL
);
