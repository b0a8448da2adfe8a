-- What the agents decided and why: the audit trail a person reviews.
-- An agent that has decided something cannot be deleted (RESTRICT); a closed conversation can.
CREATE TABLE agent_decisions (
    id              bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id        bigint       NOT NULL REFERENCES agent_configurations (id) ON DELETE RESTRICT,
    lead_id         uuid         NOT NULL REFERENCES leads (id) ON DELETE CASCADE,
    conversation_id uuid         REFERENCES conversations (id) ON DELETE SET NULL,
    action          text         NOT NULL
                                 CHECK (action IN ('reply', 'follow_up', 'qualify', 'disqualify', 'schedule', 'escalate')),
    status          text         NOT NULL DEFAULT 'proposed'
                                 CHECK (status IN ('proposed', 'approved', 'rejected', 'executed', 'failed')),
    confidence      numeric(5,4) NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    rationale       text         NOT NULL,
    context         jsonb        NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(context) = 'object'),
    reviewed_by     uuid         REFERENCES users (id) ON DELETE SET NULL,
    decided_at      timestamptz  NOT NULL DEFAULT now(),
    created_at      timestamptz  NOT NULL DEFAULT now(),
    updated_at      timestamptz  NOT NULL DEFAULT now()
);

CREATE INDEX agent_decisions_agent_id_idx ON agent_decisions (agent_id);
CREATE INDEX agent_decisions_lead_id_idx ON agent_decisions (lead_id);
CREATE INDEX agent_decisions_conversation_id_idx ON agent_decisions (conversation_id);
CREATE INDEX agent_decisions_reviewed_by_idx ON agent_decisions (reviewed_by);
