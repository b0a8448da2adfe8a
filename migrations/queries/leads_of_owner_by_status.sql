-- A user's newest leads in one status.
-- index: leads_owner_status_idx
-- arguments: SELECT owner_id, status FROM leads WHERE owner_id IS NOT NULL ORDER BY id LIMIT 100
SELECT id, first_name, last_name, company, score, created_at
FROM leads
WHERE owner_id = $1 AND status = $2
ORDER BY created_at DESC
LIMIT 10;
