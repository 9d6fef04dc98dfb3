-- Where a key is on its way: 'pending' and 'active' have one key each, all others NULL. What was here
-- before says nothing yet; the next start puts it in its place.
ALTER TABLE countersign_keys RENAME COLUMN signs TO slot;
UPDATE countersign_keys SET slot = NULL;
ALTER TABLE countersign_keys ADD COLUMN activated_at BIGINT;
ALTER TABLE countersign_keys ADD COLUMN retired_at BIGINT;
-- From then on `sealed` is empty.
ALTER TABLE countersign_keys ADD COLUMN removed_at BIGINT;

-- One row. Whoever changes keys counts here first, so that changes queue and every replica sees that
-- there was one.
CREATE TABLE countersign_key_changes (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

INSERT INTO countersign_key_changes (id, version) VALUES (1, 0);
