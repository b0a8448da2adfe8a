-- The dashboard: the largest deals that are still open.
-- index: leads_open_value_idx
-- arguments: none
SELECT id, company, owner_id, status, estimated_value
FROM leads
WHERE status IN ('qualified', 'proposal')
ORDER BY estimated_value DESC, id DESC
LIMIT 10;
