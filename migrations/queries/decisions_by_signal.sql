-- Decisions that were nearly another one, about leads who looked at certain pages.
-- index: agent_decisions_context_idx
-- arguments: SELECT jsonb_build_object('signals', '[{"name": "page_views", "value": 3, "pages": ["security", "docs"]}]'::jsonb, 'alternatives', jsonb_build_array(jsonb_build_object('action', action))) FROM unnest(ARRAY['escalate', 'reply']) AS action
SELECT id, agent_id, lead_id, action, confidence
FROM agent_decisions
WHERE context @> $1
ORDER BY decided_at DESC, id DESC
LIMIT 25;
