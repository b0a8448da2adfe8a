-- Switches that every request of the application reads and hardly anyone writes.
-- The key is the name the code asks for, so no second key is needed.
CREATE TABLE feature_flags (
    key             text        PRIMARY KEY CHECK (key <> ''),
    description     text        NOT NULL DEFAULT '',
    enabled         boolean     NOT NULL DEFAULT false,
    rollout_percent smallint    NOT NULL DEFAULT 0 CHECK (rollout_percent BETWEEN 0 AND 100),
    rules           jsonb       NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(rules) = 'array'),
    updated_by      uuid        REFERENCES users (id) ON DELETE SET NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX feature_flags_updated_by_idx ON feature_flags (updated_by);
