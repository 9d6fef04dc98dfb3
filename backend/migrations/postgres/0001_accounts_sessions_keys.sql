-- Times are Unix milliseconds, ids UUIDv7.
CREATE TABLE countersign_accounts (
    id UUID NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    -- The address folded to one case: what accounts are found and kept unique by.
    email_key TEXT NOT NULL UNIQUE,
    email_verified_at BIGINT,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE countersign_sessions (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES countersign_accounts (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    auth_time BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE INDEX countersign_sessions_account ON countersign_sessions (account_id);

CREATE TABLE countersign_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    -- The private part (PKCS #8) under the master key.
    sealed BYTEA NOT NULL,
    -- The algorithm again while this key signs, else NULL: one signer an algorithm, and of two
    -- instances that start at once only one can insert it.
    signs TEXT UNIQUE,
    created_at BIGINT NOT NULL
);
