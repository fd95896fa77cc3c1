-- What of the audit is signed, so that who changes the chain and computes it anew is found out: its head,
-- and the entry up to which it was trimmed, from which on it is to be read.

CREATE TABLE audit_marks (
    kind    TEXT PRIMARY KEY CHECK (kind IN ('head', 'checkpoint')),
    seq     INTEGER NOT NULL,
    hash    BLOB NOT NULL,              -- of that entry; of a checkpoint's nothing else is left
    at      REAL NOT NULL,              -- when it was signed
    key_id  TEXT NOT NULL,
    tag     BLOB NOT NULL
) STRICT;
