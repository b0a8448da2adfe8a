-- Leads of a user whom nobody has written to yet, the longest wait first.
-- index: leads_uncontacted_idx
-- arguments: SELECT owner_id FROM leads WHERE owner_id IS NOT NULL AND last_contacted_at IS NULL GROUP BY owner_id ORDER BY owner_id LIMIT 100
SELECT id, first_name, last_name, company, score, created_at
FROM leads
WHERE owner_id = $1 AND last_contacted_at IS NULL
ORDER BY created_at
LIMIT 10;
