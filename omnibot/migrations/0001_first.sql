-- The first schema.  It carries from the start what linking, joining, following and
-- erasing need, so that later migrations add and never reshape.
--
-- `tag` is keyed BLAKE2b over the table's name, the primary key and every column that
-- decides who may use what; `key_id` names the master key it was made under.  A row whose
-- tag does not fit is refused.  Times are Unix seconds.

CREATE TABLE networks (
    name    TEXT PRIMARY KEY,
    realm   TEXT NOT NULL,
    key_id  TEXT NOT NULL,
    tag     BLOB NOT NULL
) STRICT;

CREATE TABLE people (
    id          TEXT PRIMARY KEY,
    public_key  BLOB NOT NULL,
    private_key BLOB NOT NULL,          -- sealed under K_open
    pseudonym   TEXT NOT NULL UNIQUE,   -- what the audit calls them; random
    created     REAL NOT NULL,
    key_id      TEXT NOT NULL,
    tag         BLOB NOT NULL
) STRICT;

CREATE TABLE identities (
    network  TEXT NOT NULL,
    subject  TEXT NOT NULL,
    epoch    TEXT NOT NULL,
    person   TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    display  TEXT NOT NULL,             -- shown, never compared, not under the tag
    created  REAL NOT NULL,
    key_id   TEXT NOT NULL,
    tag      BLOB NOT NULL,
    PRIMARY KEY (network, subject, epoch)
) STRICT;
CREATE INDEX identities_by_person ON identities (person);

CREATE TABLE accounts (
    id          TEXT PRIMARY KEY,
    person      TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    provider    TEXT NOT NULL,
    instance    TEXT NOT NULL,
    alias       TEXT NOT NULL,
    external    TEXT NOT NULL,          -- the service's own immutable id of the account
    profile     TEXT NOT NULL,          -- JSON: login, name, avatar; shown, never compared
    linked_by   TEXT NOT NULL,          -- JSON: network, subject, epoch
    reach       TEXT NOT NULL,          -- JSON: list of the same
    status      TEXT NOT NULL CHECK (status IN ('pending', 'active', 'held', 'broken')),
    is_default  INTEGER NOT NULL CHECK (is_default IN (0, 1)),
    generation  INTEGER NOT NULL,       -- counts refreshes: an older token never replaces a newer
    refreshing  INTEGER NOT NULL DEFAULT 0,  -- generation a refresh was begun for: the write-ahead mark
    expires     REAL,
    scopes      TEXT NOT NULL,          -- JSON list
    token       BLOB NOT NULL,          -- sealed to the person's public key
    created     REAL NOT NULL,
    activated   REAL,
    key_id      TEXT NOT NULL,
    tag         BLOB NOT NULL
) STRICT;
CREATE INDEX accounts_by_person ON accounts (person);
CREATE INDEX accounts_by_external ON accounts (provider, instance, external);

CREATE TABLE flows (
    id            TEXT PRIMARY KEY,
    person        TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    network       TEXT NOT NULL,
    subject       TEXT NOT NULL,
    epoch         TEXT NOT NULL,
    provider      TEXT NOT NULL,
    instance      TEXT NOT NULL,
    way           TEXT NOT NULL CHECK (way IN ('redirect', 'paste')),
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
CREATE UNIQUE INDEX flows_by_ticket ON flows (ticket_hash) WHERE ticket_hash IS NOT NULL;
CREATE UNIQUE INDEX flows_by_state ON flows (state_hash) WHERE state_hash IS NOT NULL;
CREATE UNIQUE INDEX flows_by_code ON flows (code_hash) WHERE code_hash IS NOT NULL;
CREATE INDEX flows_by_identity ON flows (network, subject, epoch, state);
CREATE INDEX flows_by_account ON flows (account);
CREATE INDEX flows_by_until ON flows (state, until);

CREATE TABLE waiting (
    id       TEXT PRIMARY KEY,
    flow     TEXT REFERENCES flows (id) ON DELETE CASCADE,  -- null: accepted from a network, not yet started
    network  TEXT NOT NULL,
    event    TEXT NOT NULL,
    message  BLOB NOT NULL,             -- boxed
    created  REAL NOT NULL,
    key_id   TEXT NOT NULL,
    tag      BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX waiting_by_flow ON waiting (flow) WHERE flow IS NOT NULL;
CREATE INDEX waiting_by_event ON waiting (network, event);

CREATE TABLE positions (
    network   TEXT PRIMARY KEY,
    position  TEXT NOT NULL
) STRICT;

CREATE TABLE follows (
    id         TEXT PRIMARY KEY,
    person     TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    account    TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    skill      TEXT NOT NULL,
    arguments  TEXT NOT NULL,
    until      REAL NOT NULL,
    created    REAL NOT NULL,
    key_id     TEXT NOT NULL,
    tag        BLOB NOT NULL
) STRICT;
CREATE INDEX follows_by_person ON follows (person);

CREATE TABLE notices (
    id       TEXT PRIMARY KEY,
    network  TEXT NOT NULL,
    subject  TEXT NOT NULL,
    epoch    TEXT NOT NULL,
    body     BLOB NOT NULL,             -- boxed
    until    REAL NOT NULL,
    created  REAL NOT NULL,
    key_id   TEXT NOT NULL
) STRICT;
CREATE INDEX notices_by_identity ON notices (network, subject, epoch);

CREATE TABLE revocations (
    id        TEXT PRIMARY KEY,
    provider  TEXT NOT NULL,
    instance  TEXT NOT NULL,
    token     BLOB NOT NULL,            -- boxed under K_revoke
    next_try  REAL NOT NULL,
    until     REAL NOT NULL,
    tries     INTEGER NOT NULL,
    created   REAL NOT NULL,
    key_id    TEXT NOT NULL
) STRICT;

CREATE TABLE adapter_rows (
    network  TEXT NOT NULL,
    sealed   INTEGER NOT NULL CHECK (sealed IN (0, 1)),
    key      TEXT NOT NULL,
    value    BLOB NOT NULL,
    PRIMARY KEY (network, sealed, key)
) STRICT;

CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         REAL NOT NULL,
    pseudonym  TEXT NOT NULL,
    network    TEXT NOT NULL,
    event      TEXT NOT NULL,
    detail     TEXT NOT NULL,           -- JSON; never a secret
    previous   BLOB NOT NULL,
    hash       BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_pseudonym ON audit (pseudonym, seq);
