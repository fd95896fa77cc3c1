-- One person with several identities.

-- Two identities on their way to be one person's: one made a code, the other typed it, the first has to say yes.
CREATE TABLE joins (
    id               TEXT PRIMARY KEY,
    network          TEXT NOT NULL,         -- with subject and epoch: who made the code
    subject          TEXT NOT NULL,
    epoch            TEXT NOT NULL,
    display          TEXT NOT NULL,
    assurance        INTEGER NOT NULL,      -- the least that their yes must be vouched for
    other            TEXT,                  -- JSON: network, subject, epoch, display; who typed it; null until then
    other_assurance  INTEGER,
    code_hash        BLOB,                  -- null once it was typed
    created          REAL NOT NULL,
    until            REAL NOT NULL,
    key_id           TEXT NOT NULL,
    tag              BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX joins_by_identity ON joins (network, subject, epoch);
CREATE UNIQUE INDEX joins_by_code ON joins (code_hash) WHERE code_hash IS NOT NULL;
CREATE INDEX joins_by_until ON joins (until);

-- How strongly an identity was vouched for when it was joined; for whoever decides what to open to it.
CREATE TABLE vouched (
    network    TEXT NOT NULL,
    subject    TEXT NOT NULL,
    epoch      TEXT NOT NULL,
    assurance  INTEGER NOT NULL,
    at         REAL NOT NULL,
    key_id     TEXT NOT NULL,
    tag        BLOB NOT NULL,
    PRIMARY KEY (network, subject, epoch),
    FOREIGN KEY (network, subject, epoch) REFERENCES identities (network, subject, epoch) ON DELETE CASCADE
) STRICT;

-- Those who became part of a person: who is forgotten is forgotten under these ids as well, and what the
-- audit says of these pseudonyms is about them.
CREATE TABLE former (
    id         TEXT PRIMARY KEY,
    person     TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    pseudonym  TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    tag        BLOB NOT NULL
) STRICT;
CREATE INDEX former_by_person ON former (person);
