-- What links by key, follows, instances that people name and lasting links need.
--
-- `flows` is made anew without a list of the ways there are: the tag covers `way`.  Its columns,
-- and so its tags, stay as they were.  `follows` had no rows yet.

CREATE TABLE flows_anew (
    id            TEXT PRIMARY KEY,
    person        TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    network       TEXT NOT NULL,
    subject       TEXT NOT NULL,
    epoch         TEXT NOT NULL,
    provider      TEXT NOT NULL,
    instance      TEXT NOT NULL,
    way           TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('open', 'exchanging', 'pending', 'held', 'linked', 'refused', 'expired')),
    reason        TEXT NOT NULL,        -- why it ended, as a code
    assurance     INTEGER NOT NULL,
    scopes        TEXT NOT NULL,        -- JSON list: what is asked for
    asked         TEXT NOT NULL,        -- JSON: display, where, the command; what the page shows
    redirect_uri  TEXT NOT NULL,
    server        TEXT NOT NULL,        -- JSON: the authorization server's endpoints, one whole
    ticket_hash   BLOB,
    state_hash    BLOB,
    cookie_hash   BLOB,
    code_hash     BLOB,
    verifier      BLOB,                 -- boxed; gone when spent
    tries         INTEGER NOT NULL,
    account       TEXT REFERENCES accounts (id) ON DELETE SET NULL,
    created       REAL NOT NULL,
    ticket_until  REAL NOT NULL,
    until         REAL NOT NULL,
    ended         REAL,
    key_id        TEXT NOT NULL,
    tag           BLOB NOT NULL
) STRICT;
INSERT INTO flows_anew SELECT * FROM flows;
DROP TABLE flows;
ALTER TABLE flows_anew RENAME TO flows;
CREATE UNIQUE INDEX flows_by_ticket ON flows (ticket_hash) WHERE ticket_hash IS NOT NULL;
CREATE UNIQUE INDEX flows_by_state ON flows (state_hash) WHERE state_hash IS NOT NULL;
CREATE UNIQUE INDEX flows_by_code ON flows (code_hash) WHERE code_hash IS NOT NULL;
CREATE INDEX flows_by_identity ON flows (network, subject, epoch, state);
CREATE INDEX flows_by_account ON flows (account);
CREATE INDEX flows_by_until ON flows (state, until);

-- Whether a token came with another to renew it by: tells when to renew and when to warn, opens
-- nothing, and is not under the tag.
ALTER TABLE accounts ADD COLUMN renewable INTEGER NOT NULL DEFAULT 1 CHECK (renewable IN (0, 1));
CREATE INDEX accounts_by_expires ON accounts (expires) WHERE expires IS NOT NULL;

-- For which expiry an account's owner has been warned.
CREATE TABLE warnings (
    account  TEXT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    expires  REAL NOT NULL
) STRICT;

DROP TABLE follows;
CREATE TABLE follows (
    id         TEXT PRIMARY KEY,
    person     TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    account    TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    network    TEXT NOT NULL,           -- with subject and epoch: who asked, and is told
    subject    TEXT NOT NULL,
    epoch      TEXT NOT NULL,
    skill      TEXT NOT NULL,
    follower   TEXT NOT NULL,           -- name of the skill's function that looks
    arguments  TEXT NOT NULL,           -- JSON object: what it is called with
    title      TEXT NOT NULL,           -- what the person is shown
    message    BLOB NOT NULL,           -- boxed: the message that asked for it
    private    INTEGER NOT NULL CHECK (private IN (0, 1)),  -- told to the asker alone, or where it was asked
    until      REAL NOT NULL,
    created    REAL NOT NULL,
    progress   TEXT NOT NULL DEFAULT '',  -- JSON: what was said last, and where; not under the tag
    key_id     TEXT NOT NULL,
    tag        BLOB NOT NULL
) STRICT;
CREATE INDEX follows_by_person ON follows (person);

-- Which of several accounts or instances is meant in one channel: by one person, or, without a
-- person, by everybody there who has not chosen.
CREATE TABLE defaults (
    id        TEXT PRIMARY KEY,
    person    TEXT REFERENCES people (id) ON DELETE CASCADE,
    network   TEXT NOT NULL,
    channel   TEXT NOT NULL,
    provider  TEXT NOT NULL,
    target    TEXT NOT NULL,            -- an account's alias; without a person, an instance's name
    key_id    TEXT NOT NULL,
    tag       BLOB NOT NULL
) STRICT;
CREATE INDEX defaults_by_channel ON defaults (network, channel, provider);
CREATE INDEX defaults_by_person ON defaults (person);

-- Hosts that people named as an instance of a provider.
CREATE TABLE hosts (
    provider  TEXT NOT NULL,
    host      TEXT NOT NULL,            -- ASCII, in punycode where it has to be
    status    TEXT NOT NULL CHECK (status IN ('asked', 'allowed', 'refused')),
    asked_by  TEXT NOT NULL,            -- JSON: network, subject, epoch; who is told
    created   REAL NOT NULL,
    key_id    TEXT NOT NULL,
    tag       BLOB NOT NULL,
    PRIMARY KEY (provider, host)
) STRICT;
