-- From when to when somebody is told nothing of what is followed for them.
CREATE TABLE quiet (
    person  TEXT PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    begins  INTEGER NOT NULL,           -- minutes since midnight, both
    ends    INTEGER NOT NULL,
    zone    TEXT NOT NULL,              -- name in the time zone database
    key_id  TEXT NOT NULL,
    tag     BLOB NOT NULL
) STRICT;
