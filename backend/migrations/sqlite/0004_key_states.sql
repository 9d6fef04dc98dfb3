-- Where a key is on its way: 'pending' and 'active' have one key each, all others NULL. What was here
-- before says nothing yet; the next start puts it in its place.
ALTER TABLE countersign_keys RENAME COLUMN signs TO slot;
UPDATE countersign_keys SET slot = NULL;
ALTER TABLE countersign_keys ADD COLUMN activated_at INTEGER;
ALTER TABLE countersign_keys ADD COLUMN retired_at INTEGER;
-- From then on `sealed` is empty.
ALTER TABLE countersign_keys ADD COLUMN removed_at INTEGER;

-- One row. Whoever changes keys counts here first, so that changes queue and every replica sees that
-- there was one.
CREATE TABLE countersign_key_changes (
    id INTEGER NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO countersign_key_changes (id, version) VALUES (1, 0);
