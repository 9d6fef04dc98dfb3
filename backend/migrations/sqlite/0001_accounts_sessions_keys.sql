-- Times are Unix milliseconds, ids UUIDv7 in 16 bytes. STRICT: a column keeps its type.
CREATE TABLE countersign_accounts (
    id BLOB NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    -- The address folded to one case: what accounts are found and kept unique by.
    email_key TEXT NOT NULL UNIQUE,
    email_verified_at INTEGER,
    password_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE countersign_sessions (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES countersign_accounts (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    auth_time INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX countersign_sessions_account ON countersign_sessions (account_id);

CREATE TABLE countersign_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    -- The private part (PKCS #8) under the master key.
    sealed BLOB NOT NULL,
    -- The algorithm again while this key signs, else NULL: one signer an algorithm, and of two
    -- instances that start at once only one can insert it.
    signs TEXT UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
