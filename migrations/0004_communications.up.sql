-- The log of single touches (an e-mail, a call, a text message) and the work that follows from them.
-- Long, appended to, never named in a URL: bigint keys are smaller and keep new rows together.
-- Erasing a lead erases what was said to them (a right to be forgotten is one DELETE);
-- a campaign, a step or a user that goes leaves the history standing.
CREATE TABLE communications (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_id     uuid        NOT NULL REFERENCES leads (id) ON DELETE CASCADE,
    campaign_id uuid        REFERENCES campaigns (id) ON DELETE SET NULL,
    step_id     bigint      REFERENCES campaign_steps (id) ON DELETE SET NULL,
    user_id     uuid        REFERENCES users (id) ON DELETE SET NULL,
    external_id text        UNIQUE, -- the provider's own id: a repeated webhook must not write twice
    channel     text        NOT NULL CHECK (channel IN ('email', 'phone', 'linkedin', 'sms')),
    direction   text        NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    status      text        NOT NULL DEFAULT 'queued'
                            CHECK (status IN ('queued', 'sent', 'delivered', 'opened', 'replied', 'bounced', 'failed', 'received')),
    subject     text,
    body        text        NOT NULL,
    metadata    jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    sent_at     timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX communications_lead_id_idx ON communications (lead_id);
CREATE INDEX communications_campaign_id_idx ON communications (campaign_id);
CREATE INDEX communications_step_id_idx ON communications (step_id);
CREATE INDEX communications_user_id_idx ON communications (user_id);

CREATE TABLE tasks (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lead_id      uuid        NOT NULL REFERENCES leads (id) ON DELETE CASCADE,
    assignee_id  uuid        REFERENCES users (id) ON DELETE SET NULL,
    title        text        NOT NULL,
    status       text        NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'cancelled')),
    priority     smallint    NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
    due_at       timestamptz NOT NULL,
    completed_at timestamptz CHECK ((completed_at IS NOT NULL) = (status = 'done')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX tasks_lead_id_idx ON tasks (lead_id);
CREATE INDEX tasks_assignee_id_idx ON tasks (assignee_id);
