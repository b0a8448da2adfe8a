-- The people who may buy, and the campaigns they are in.
-- One lead for one e-mail address: an import of the same person updates, it does not duplicate.
CREATE TABLE leads (
    id                uuid          PRIMARY KEY DEFAULT gen_random_uuid(),
    owner_id          uuid          REFERENCES users (id) ON DELETE SET NULL,
    campaign_id       uuid          REFERENCES campaigns (id) ON DELETE SET NULL, -- where the lead came from
    email             text          NOT NULL UNIQUE CHECK (email = lower(email)),
    first_name        text          NOT NULL,
    last_name         text          NOT NULL,
    company           text          NOT NULL,
    job_title         text          NOT NULL DEFAULT '',
    phone             text,
    country           text          NOT NULL CHECK (length(country) = 2), -- ISO 3166-1 alpha-2
    source            text          NOT NULL
                                    CHECK (source IN ('website', 'referral', 'event', 'import', 'outbound', 'partner')),
    status            text          NOT NULL DEFAULT 'new'
                                    CHECK (status IN ('new', 'contacted', 'qualified', 'proposal', 'won', 'lost', 'unsubscribed')),
    score             smallint      NOT NULL DEFAULT 0 CHECK (score BETWEEN 0 AND 100),
    estimated_value   numeric(12,2) NOT NULL DEFAULT 0 CHECK (estimated_value >= 0),
    metadata          jsonb         NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    last_contacted_at timestamptz,
    created_at        timestamptz   NOT NULL DEFAULT now(),
    updated_at        timestamptz   NOT NULL DEFAULT now()
);

CREATE INDEX leads_owner_id_idx ON leads (owner_id);
CREATE INDEX leads_campaign_id_idx ON leads (campaign_id);

-- An enrolment is a fact about both sides: it goes when either goes.
CREATE TABLE lead_campaigns (
    lead_id      uuid        NOT NULL REFERENCES leads (id) ON DELETE CASCADE,
    campaign_id  uuid        NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    step_id      bigint      REFERENCES campaign_steps (id) ON DELETE SET NULL, -- the step reached so far
    enrolled_by  uuid        REFERENCES users (id) ON DELETE SET NULL,
    status       text        NOT NULL DEFAULT 'pending'
                             CHECK (status IN ('pending', 'active', 'replied', 'completed', 'bounced', 'opted_out')),
    enrolled_at  timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lead_id, campaign_id)
);

CREATE INDEX lead_campaigns_campaign_id_idx ON lead_campaigns (campaign_id);
CREATE INDEX lead_campaigns_step_id_idx ON lead_campaigns (step_id);
CREATE INDEX lead_campaigns_enrolled_by_idx ON lead_campaigns (enrolled_by);
