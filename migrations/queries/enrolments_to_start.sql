-- The scheduler: whom to send the first message, the longest wait first.
-- index: lead_campaigns_pending_idx
-- arguments: none
SELECT lead_id, campaign_id, enrolled_at
FROM lead_campaigns
WHERE status = 'pending'
ORDER BY enrolled_at, lead_id
LIMIT 50;
