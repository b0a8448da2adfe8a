-- The newest messages that did not arrive.
-- index: communications_problem_idx
-- arguments: none
SELECT id, lead_id, campaign_id, channel, status, created_at
FROM communications
WHERE status IN ('bounced', 'failed')
ORDER BY created_at DESC, id DESC
LIMIT 25;
