-- The clients that the bot has registered by itself, at services that let it (Mastodon).

CREATE TABLE clients (
    provider  TEXT NOT NULL,
    instance  TEXT NOT NULL,
    origin    TEXT NOT NULL,      -- of the server that made it: at another address it is asked for anew
    about     TEXT NOT NULL,      -- JSON: what it was registered with; with something else it is asked for anew
    client    BLOB NOT NULL,      -- its name and secret, boxed for provider, instance and origin
    created   REAL NOT NULL,
    key_id    TEXT NOT NULL,
    PRIMARY KEY (provider, instance)
) STRICT;
