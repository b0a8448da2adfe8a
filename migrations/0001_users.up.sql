-- The people who work with the platform. Every later table refers to them, so they come first.
-- Ids that appear in URLs are UUIDs: they tell nothing about how many rows there are.
-- States are text with a CHECK, not an enum type: a CHECK can lose a value, an enum cannot.
-- updated_at is set by the application; there are no triggers.
CREATE TABLE users (
    id            uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    email         text        NOT NULL UNIQUE CHECK (email = lower(email)),
    full_name     text        NOT NULL,
    role          text        NOT NULL DEFAULT 'agent'
                              CHECK (role IN ('admin', 'manager', 'agent', 'viewer')),
    status        text        NOT NULL DEFAULT 'invited'
                              CHECK (status IN ('invited', 'active', 'suspended')),
    manager_id    uuid        REFERENCES users (id) ON DELETE SET NULL,
    password_hash text        NOT NULL,
    timezone      text        NOT NULL DEFAULT 'UTC',
    settings      jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    last_login_at timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

-- Here and in the files that follow: PostgreSQL does not index the referencing side of a
-- foreign key by itself, and without an index every delete of a parent scans the child.
CREATE INDEX users_manager_id_idx ON users (manager_id);
