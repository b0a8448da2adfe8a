-- What is sent, and in which order. A campaign outlives its owner; its steps do not outlive it.
CREATE TABLE campaigns (
    id           uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    owner_id     uuid        REFERENCES users (id) ON DELETE SET NULL,
    name         text        NOT NULL UNIQUE,
    channel      text        NOT NULL CHECK (channel IN ('email', 'phone', 'linkedin', 'sms', 'mixed')),
    status       text        NOT NULL DEFAULT 'draft'
                             CHECK (status IN ('draft', 'active', 'paused', 'completed', 'archived')),
    goal         text        NOT NULL DEFAULT '',
    budget_cents bigint      NOT NULL DEFAULT 0 CHECK (budget_cents >= 0),
    starts_on    date        NOT NULL,
    ends_on      date        CHECK (ends_on >= starts_on),
    settings     jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX campaigns_owner_id_idx ON campaigns (owner_id);

CREATE TABLE campaign_steps (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id   uuid        NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    position      integer     NOT NULL CHECK (position > 0),
    channel       text        NOT NULL CHECK (channel IN ('email', 'phone', 'linkedin', 'sms')),
    delay_hours   integer     NOT NULL DEFAULT 0 CHECK (delay_hours >= 0),
    subject       text,
    body_template text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    -- Serves the foreign key too: campaign_id comes first.
    UNIQUE (campaign_id, position)
);
