-- Dialogues between leads, AI agents and users, and the settings of those agents.
-- A configuration is never edited: a change is a new version of the same name, so that an old
-- conversation can always be explained by what the agent was told at the time.
CREATE TABLE agent_configurations (
    id            bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text         NOT NULL,
    version       integer      NOT NULL CHECK (version > 0),
    purpose       text         NOT NULL CHECK (purpose IN ('qualification', 'outreach', 'scheduling', 'support')),
    model         text         NOT NULL,
    temperature   numeric(3,2) NOT NULL CHECK (temperature BETWEEN 0 AND 2),
    system_prompt text         NOT NULL,
    tools         jsonb        NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(tools) = 'array'),
    settings      jsonb        NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    enabled       boolean      NOT NULL DEFAULT false,
    created_by    uuid         REFERENCES users (id) ON DELETE SET NULL,
    created_at    timestamptz  NOT NULL DEFAULT now(),
    updated_at    timestamptz  NOT NULL DEFAULT now(),
    UNIQUE (name, version)
);

CREATE INDEX agent_configurations_created_by_idx ON agent_configurations (created_by);

CREATE TABLE conversations (
    id               uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    lead_id          uuid        NOT NULL REFERENCES leads (id) ON DELETE CASCADE,
    assigned_user_id uuid        REFERENCES users (id) ON DELETE SET NULL,
    agent_id         bigint      REFERENCES agent_configurations (id) ON DELETE SET NULL,
    channel          text        NOT NULL CHECK (channel IN ('chat', 'email', 'linkedin', 'sms')),
    status           text        NOT NULL DEFAULT 'open'
                                 CHECK (status IN ('open', 'waiting', 'escalated', 'closed')),
    subject          text        NOT NULL,
    metadata         jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    last_message_at  timestamptz,
    closed_at        timestamptz CHECK ((closed_at IS NOT NULL) = (status = 'closed')),
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX conversations_lead_id_idx ON conversations (lead_id);
CREATE INDEX conversations_assigned_user_id_idx ON conversations (assigned_user_id);
CREATE INDEX conversations_agent_id_idx ON conversations (agent_id);

CREATE TABLE messages (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation_id uuid        NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    sender          text        NOT NULL CHECK (sender IN ('lead', 'agent', 'user', 'system')),
    user_id         uuid        REFERENCES users (id) ON DELETE SET NULL CHECK (user_id IS NULL OR sender = 'user'),
    body            text        NOT NULL,
    metadata        jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX messages_conversation_id_idx ON messages (conversation_id);
CREATE INDEX messages_user_id_idx ON messages (user_id);
