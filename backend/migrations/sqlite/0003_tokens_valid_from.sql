-- A token that hangs on no session, as flask-jwt-extended issues them, hangs on the account: one
-- issued before this is over.
ALTER TABLE countersign_accounts ADD COLUMN tokens_valid_from INTEGER NOT NULL DEFAULT 0;
