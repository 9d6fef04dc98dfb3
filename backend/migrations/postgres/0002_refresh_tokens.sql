ALTER TABLE countersign_sessions ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;
UPDATE countersign_sessions SET last_used_at = created_at;
ALTER TABLE countersign_sessions ADD COLUMN user_agent TEXT;

-- What the sweep looks for.
CREATE INDEX countersign_sessions_expires ON countersign_sessions (expires_at);
CREATE INDEX countersign_sessions_ended ON countersign_sessions (ended_at) WHERE ended_at IS NOT NULL;

-- Every refresh token of a session, the spent ones too: by them a second use is noticed.
CREATE TABLE countersign_refresh_tokens (
    -- SHA-256 of the token.
    hash BYTEA NOT NULL PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES countersign_sessions (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    -- The token that replaced this one, sealed under this one; only while a repeat may get it.
    successor BYTEA
);

CREATE INDEX countersign_refresh_tokens_session ON countersign_refresh_tokens (session_id);

-- Few rows keep a successor at any time, and none for longer than the grace.
CREATE INDEX countersign_refresh_tokens_successor ON countersign_refresh_tokens (session_id) WHERE successor IS NOT NULL;
CREATE INDEX countersign_refresh_tokens_grace ON countersign_refresh_tokens (used_at) WHERE successor IS NOT NULL;
